"""What a viewer can be sent: codecs, and pictures at the full or at half the size."""

from __future__ import annotations

from typing import Literal, NamedTuple

Codec = Literal["h264", "vp8"]
Sound = Literal["opus", "aac"]
Rung = Literal["full", "half"]


class Target(NamedTuple):
    """One encoder's output."""

    codec: Codec
    rung: Rung
