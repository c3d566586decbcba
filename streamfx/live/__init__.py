"""Live streams: frames in, restyled, encoded once for each codec and size, fanned out.

No network and no asyncio here: threads, bounded queues, and callbacks.
"""

from streamfx.live.encoders import AUDIO_RATE, VIDEO_CLOCK, level_for, profile_level_id
from streamfx.live.fanout import Viewer
from streamfx.live.rungs import Codec, Rung, Target
from streamfx.live.settings import Control, ControlChange, LiveSettings
from streamfx.live.shelf import ShelfStyle, StyleShelf
from streamfx.live.stats import NoObserver, Observer, StreamStats, Timing
from streamfx.live.stream import LiveStream

__all__ = [
    "AUDIO_RATE",
    "VIDEO_CLOCK",
    "Codec",
    "Control",
    "ControlChange",
    "LiveSettings",
    "LiveStream",
    "NoObserver",
    "Observer",
    "Rung",
    "ShelfStyle",
    "StreamStats",
    "StyleShelf",
    "Target",
    "Timing",
    "Viewer",
    "level_for",
    "profile_level_id",
]
