"""Live sources: cameras, screens, pulls, publishers over RTMP, WHEP; with reconnecting."""

from streamfx.capture.opening import Source, open_source
from streamfx.capture.state import SourceState, SourceStatus

__all__ = ["Source", "SourceState", "SourceStatus", "open_source"]
