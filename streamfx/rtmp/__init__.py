"""RTMP (Adobe's specification 1.0), as much as publishing takes: a listener and a client.

The pictures and the sound stay in FLV's tags, which FFmpeg reads and writes.
"""
