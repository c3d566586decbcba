"""What decodes a video, and the frames that its pictures become."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol, TypeVar

import av
import av.error
from av.codec.hwaccel import HWAccel

from streamfx.frames import Frame
from streamfx.media.planes import Normalizer, Orientation, Size, Stamped, color_of, planes_of

F_co = TypeVar("F_co", bound=Stamped, covariant=True)


class Filter(Protocol):
    """See `Normalizer`."""

    deinterlaced: bool

    def push(self, frame: av.VideoFrame, time_base: Fraction) -> Iterator[av.VideoFrame]: ...

    def flush(self) -> Iterator[av.VideoFrame]: ...


class Decoding(Protocol[F_co]):
    """What decodes a video, and what its pictures become.

    Attributes:
        hwaccel: what decodes in place of the CPU.
    """

    @property
    def hwaccel(self) -> HWAccel | None: ...

    def filter(self, size: Size) -> Filter:
        """What every picture passes; those that come out have `size` = (width, height)."""

    def frame(
        self, picture: av.VideoFrame, orientation: Orientation, pts: int, time_base: Fraction
    ) -> F_co:
        """The frame of a picture that came out of the filter."""

    def failed(self, error: av.error.FFmpegError) -> None:
        """A packet cannot be decoded; it is left out, unless this raises."""


class OnTheCPU:
    """`Decoding` by FFmpeg into the host's memory."""

    hwaccel = None

    def filter(self, size: Size) -> Normalizer:
        return Normalizer(size)

    def frame(
        self, picture: av.VideoFrame, orientation: Orientation, pts: int, time_base: Fraction
    ) -> Frame:
        y, u, v = planes_of(picture, orientation)
        return Frame(y, u, v, pts, time_base, color=color_of(picture))

    def failed(self, error: av.error.FFmpegError) -> None:
        pass
