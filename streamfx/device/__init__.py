"""Frames that stay on the GPU: decoded, restyled and encoded without passing the host's memory.

`decide` says which stage can run where, `decode` and `encode` are PyAV's NVDEC and NVENC,
`stylize` runs an engine between them on surfaces out of a pool.
"""
