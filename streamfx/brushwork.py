"""Brushwork: marks of a style's own paint on all that a picture shows.

A network that draws a thing alike wherever it lies has nothing to hang a mark on where a picture
is smooth. A painting has marks there too. So each style of a pack holds swatches of its painting's
fine structure; they are woven into one texture as large as the frame, a canvas that things keep
their places on (`streamfx.canvas`).

The weave is after Efros and Freeman, "Image Quilting for Texture Synthesis and Transfer" (2001),
with seams that are faded over instead of cut.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamfx.canvas import lay
from streamfx.errors import InputError
from streamfx.flow import Floats
from streamfx.pictures import decode_picture

if TYPE_CHECKING:
    from streamfx.manifest import Style
    from streamfx.styles import Pack

Size = tuple[int, int]

# Pixels of the frame in which a swatch is as large as it is kept. In others it is scaled, so that
# marks have their size relative to the picture.
AREA = 1280 * 720
SIDE = 96  # of a swatch
MOST_SWATCHES = 64
_MIXED = 16  # swatches of a style made of others
# Levels of a stored swatch, around 128, for one deviation.
_UNIT = 24.0
_SEAM = 0.2  # of a swatch's side that fades over into its neighbour
_LEAST_SIDE = 8
_NEAREST = 3  # styles at most whose marks a code has
_LEAST_SHARE = 0.01
_KEPT = 4  # textures


def encode_swatches(swatches: Floats) -> bytes:
    """Swatches [P,96,96] of deviation one, as `decode_swatches` reads them: a grey JPEG."""
    levels = np.clip(np.rint(swatches * _UNIT + 128), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", levels.reshape(-1, SIDE), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return data.tobytes()


def decode_swatches(data: bytes, name: str) -> Floats:
    """Swatches [P,96,96] with a mean of zero and a deviation of one each.

    Raises:
        InputError: it is no column of 1 to 64 squares of 96 pixels.
    """
    picture = decode_picture(
        data, name, formats=("JPEG",), most_pixels=MOST_SWATCHES * SIDE * SIDE
    )[..., 0]
    if picture.shape[1] != SIDE or picture.shape[0] % SIDE:
        raise InputError(f"{name} is not a column of squares of {SIDE} pixels")
    swatches = picture.reshape(-1, SIDE, SIDE).astype(np.float32)
    swatches -= swatches.mean((1, 2), keepdims=True)
    return np.asarray(swatches / np.maximum(swatches.std((1, 2), keepdims=True), 1), np.float32)


def weave(swatches: Floats, size: Size, seed: int = 0) -> Floats:
    """A texture [H,W] of deviation about one from swatches [P,n,n]; the same seed, the same.

    It can be tiled: its edges go on at the other side.
    """
    height, width = size
    side = max(_LEAST_SIDE, round(swatches.shape[1] * (height * width / AREA) ** 0.5))
    seam = max(2, round(_SEAM * side))
    edge = np.minimum((np.arange(side) + 0.5) / seam, 1)
    fade = np.sin(np.pi / 2 * np.minimum(edge, edge[::-1]))
    window = (fade[:, None] * fade).astype(np.float32)
    faded = [
        window * cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in swatches
    ]
    random = np.random.default_rng(seed)
    sums = np.zeros((height + side, width + side), np.float32)
    powers = np.zeros_like(sums)
    for top in _evenly(height, side - seam):
        # Each row begins elsewhere: no seam runs down the whole frame.
        first = int(random.integers(width))
        for step in _evenly(width, side - seam):
            left = (first + step) % width
            place = slice(top, top + side), slice(left, left + side)
            sums[place] += faded[int(random.integers(len(faded)))]
            powers[place] += window**2
    return np.asarray(_folded(sums, size) / np.sqrt(_folded(powers, size)), np.float32)


def _folded(sums: Floats, size: Size) -> Floats:
    """What hangs over at the ends is added at the starts."""
    for axis, length in enumerate(size):
        sums = np.moveaxis(sums, axis, 0)
        for start in range(length, len(sums), length):
            over = sums[start : start + length]
            sums[: len(over)] += over
        sums = np.moveaxis(sums[:length], 0, axis)
    return sums


def _evenly(length: int, step: int) -> list[int]:
    """Places from 0 up to `length`, at most `step` apart, the last and the first too."""
    count = -(-length // step)
    return [index * length // count for index in range(count)]


@dataclass(frozen=True)
class Paint:
    """The brushwork of one style.

    Attributes:
        code: float32 [S].
        swatches: as `encode_swatches` has them; nothing where the style has no marks.
        amount: deviation of the texture on a picture, levels of 255.
    """

    code: Floats
    swatches: bytes
    amount: float

    def decoded(self) -> Floats:
        """See `decode_swatches`; of no marks, one swatch of zeros."""
        if not self.swatches:
            return np.zeros((1, SIDE, SIDE), np.float32)
        return decode_swatches(self.swatches, "brushwork")


class Brushwork:
    """The textures of the styles of a pack, and of codes between them.

    A code has the marks of the styles nearest to it, by inverse distances (Shepard, "A
    Two-dimensional Interpolation Function for Irregularly-spaced Data", 1968): a listed style has
    its own alone. One thread at a time uses it.
    """

    def __init__(self, paints: Sequence[Paint]) -> None:
        self._paints = tuple(paints)
        self._woven: OrderedDict[tuple[int, Size], Floats] = OrderedDict()
        self._laid: tuple[bytes, Size] | None = None
        # Twice each way, see `lay`; written over, for fresh pages cost more than what is written.
        self._canvas: Floats = np.empty((0, 0), np.float32)

    @classmethod
    def of(cls, pack: Pack) -> Brushwork:
        """That of a pack's styles; a style that has none counts as one without a mark.

        There is none at all where the pack's graph cannot lay it.

        Raises:
            InputError: the pack has changed since it was opened.
        """
        painted = any(style.brushwork is not None for style in pack.styles)
        if not (painted and pack.manifest.network.spec.texture):
            return cls([])
        return cls([_paint(pack, style) for style in pack.styles])

    @property
    def has_marks(self) -> bool:
        """Whether there is any style with marks."""
        return bool(self._paints)

    def inputs(self, code: Floats, size: Size, places: Floats) -> dict[str, Floats]:
        """The graph's input `texture` for a frame (see `streamfx.engines.contract`), N = 1;
        nothing where there is no brushwork.

        Args:
            code: float32 [S].
            size: (height, width) of the frame.
            places: see `streamfx.canvas`.
        """
        if not self.has_marks:
            return {}
        if self._laid != (code.tobytes(), size):
            height, width = size
            if self._canvas.shape != (2 * height, 2 * width):
                self._canvas = np.empty((2 * height, 2 * width), np.float32)
            self._canvas.reshape(2, height, 2, width)[:] = self._mixed(code, size)[:, None]
            self._laid = code.tobytes(), size
        return {"texture": lay(self._canvas, places, size)[None, None]}

    def paint(self, code: Floats) -> Paint | None:
        """What a style of its own with this code, float32 [S], would have; None where there is no
        brushwork."""
        if not self.has_marks:
            return None
        amount, shares = self._recipe(code)
        mixed = np.zeros((_MIXED, SIDE, SIDE), np.float32)
        for index, share in shares.items():
            swatches = self._paints[index].decoded()
            mixed += np.float32(share) * swatches[np.arange(_MIXED) % len(swatches)]
        return Paint(code, encode_swatches(mixed), amount)

    def _mixed(self, code: Floats, size: Size) -> Floats:
        amount, shares = self._recipe(code)
        mixed = np.zeros(size, np.float32)
        for index, share in shares.items():
            mixed += np.float32(amount * share) * self._texture_of(index, size)
        return mixed

    def _recipe(self, code: Floats) -> tuple[float, dict[int, float]]:
        """The amount for a code, and how much of which texture makes one of deviation one."""
        shares = self._shares(code)
        amount = sum(share * self._paints[index].amount for index, share in shares.items())
        # Textures know nothing of each other: their powers add up.
        power = sum(share**2 for share in shares.values())
        return amount, {index: share / power**0.5 for index, share in shares.items()}

    def _shares(self, code: Floats) -> dict[int, float]:
        squares = np.array([float(np.sum((paint.code - code) ** 2)) for paint in self._paints])
        weights = 1 / (squares + 1e-6) ** 2
        nearest = np.argsort(-weights)[:_NEAREST]
        shares = weights[nearest] / weights[nearest].sum()
        return {
            int(index): float(share)
            for index, share in zip(nearest, shares, strict=True)
            if share >= _LEAST_SHARE
        }

    def _texture_of(self, index: int, size: Size) -> Floats:
        key = index, size
        if key in self._woven:
            self._woven.move_to_end(key)
        else:
            self._woven[key] = weave(self._paints[index].decoded(), size, seed=index)
            if len(self._woven) > _KEPT:
                self._woven.popitem(last=False)
        return self._woven[key]


def _paint(pack: Pack, style: Style) -> Paint:
    if style.brushwork is None:
        return Paint(style.vector, b"", 0.0)
    return Paint(style.vector, pack.read(style.brushwork.swatches), style.brushwork.amount)
