"""Sinks beside a live stream's viewers: pushes, recordings, WHIP, a virtual camera.

Each has its own bounded queue and thread, so that a slow one holds up nothing else, and those
whose codecs agree share one encoder.
"""

from streamfx.sinks.opening import Sink, open_sink
from streamfx.sinks.status import SinkState, SinkStatus

__all__ = ["Sink", "SinkState", "SinkStatus", "open_sink"]
