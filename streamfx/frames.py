"""A video frame as the program carries it: 8-bit 4:2:0 planes and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class Color:
    """Colour tags as FFmpeg's numbers (ITU-T H.273); 2 = unspecified, range 1 = limited."""

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2


@dataclass
class Frame:
    """One 8-bit 4:2:0 frame.

    Attributes:
        y: luma, uint8 [H, W], C-contiguous; H and W are even.
        u, v: chroma, uint8 [H/2, W/2], C-contiguous.
        pts: presentation time in `time_base` units.
        time_base: seconds per unit of `pts`.
        duration: in `time_base` units, 0 where the source does not say.
        color: colour tags, carried through to the encoder.
    """

    y: Plane
    u: Plane
    v: Plane
    pts: int = 0
    time_base: Fraction = Fraction(1, 90_000)
    duration: int = 0
    color: Color = field(default_factory=Color)

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)
