"""The size that a user asks for, and the one that a picture gets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from streamfx.errors import InputError

_SMALLEST, _LARGEST = 16, 8192
_SAME_SHAPE = 0.01  # a difference in shape that nobody sees


@dataclass(frozen=True)
class Shape:
    """The picture that is written: even sides in pixels, a pixel's width by its height."""

    width: int
    height: int
    sample_aspect_ratio: Fraction = Fraction(1)

    def resized(self, width: int, height: int) -> Shape:
        """As many pixels as told; the sample aspect ratio keeps the displayed shape."""
        aspect = self.sample_aspect_ratio
        kept = aspect * Fraction(self.width * height, self.height * width)
        for simple in (aspect, Fraction(1)):
            if abs(kept / simple - 1) < _SAME_SHAPE:
                kept = simple
        return Shape(width, height, kept.limit_denominator(1000))

    def square_pixels(self) -> Shape:
        """The same displayed shape with pixels as wide as high."""
        return Shape(_even(self.width * self.sample_aspect_ratio), self.height)


@dataclass(frozen=True)
class WantedSize:
    """`1280x720`, or `720p`: the shorter side, the longer one following the shape."""

    width: int
    height: int | None = None

    @classmethod
    def parse(cls, text: str) -> WantedSize:
        """Read a size.

        Raises:
            InputError: it is no size, has an odd side, or is out of range.
        """
        match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5})|p)", text.strip().lower(), re.ASCII)
        sides = [int(side) for side in match.groups() if side] if match else []
        if not sides or any(s % 2 or not _SMALLEST <= s <= _LARGEST for s in sides):
            raise InputError(
                f"a size is like 1280x720 or 720p, with even sides from {_SMALLEST} to "
                f"{_LARGEST}, not {text!r}"
            )
        return cls(*sides)

    def of(self, shape: Shape) -> Shape:
        """What a picture of `shape` becomes."""
        if self.height is not None:
            return shape.resized(self.width, self.height)
        scale = Fraction(self.width, min(shape.width, shape.height))
        return shape.resized(_even(shape.width * scale), _even(shape.height * scale))


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))
