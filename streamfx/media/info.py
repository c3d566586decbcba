"""What the video of a file is like, told from its first picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from streamfx.frames import Color
from streamfx.media.planes import HDR, NATIVE, Orientation


@dataclass(frozen=True)
class VideoInfo:
    """What the video of a file is like, as it will be shown.

    Attributes:
        width, height: pixels, upright, odd sides already grown by one.
        sample_aspect_ratio: width of a pixel by its height.
        rate: frames a second, a guess where timing varies.
        time_base: seconds per unit of every frame's `pts`.
        frames: how many are to be expected, 0 where the file does not say.
        color: the tags of the first frame, as it comes out.
        decoder: FFmpeg's name of what decodes it.
        filters: why the stored pictures pass filters first, in a word each; none where their
            planes are taken as they are.
    """

    width: int
    height: int
    sample_aspect_ratio: Fraction
    rate: Fraction
    time_base: Fraction
    frames: int
    color: Color
    decoder: str
    filters: tuple[str, ...]


def filters_of(first: av.VideoFrame, orientation: Orientation) -> Iterator[str]:
    """See `VideoInfo.filters`."""
    if first.format.name not in NATIVE:
        yield first.format.name
    if first.interlaced_frame:
        yield "interlaced"
    if orientation != Orientation():
        yield "turned"
    if first.color_trc in HDR:
        yield "HDR"


def notes_of(first: av.VideoFrame, info: VideoInfo) -> Iterator[str]:
    """A sentence about each thing of the pictures that is known from the start not to be kept."""
    if name := HDR.get(first.color_trc):
        yield f"the picture is HDR ({name}) and is tone-mapped to BT.709"
    if first.width % 2 or first.height % 2:
        yield (
            f"{first.width}x{first.height} is odd: the last column or row is repeated once, "
            f"the output has {info.width}x{info.height}"
        )
    if first.format.name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")):
        yield "transparency is dropped"
