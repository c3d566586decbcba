"""How far apart two styles look, and choosing styles that lie far apart.

Codes alone do not say it: the generator may draw two distant codes alike, or badly. So styles are
compared by what they make of the same frames, in CIE Lab, whose unit is about one just noticeable
difference of colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamfx.training.color import planes_to_rgb, rgb_to_planes
from streamfx.training.exposure import focus
from streamfx.training.networks import Generator

RGB = NDArray[np.uint8]
Values = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOLERANCE = 1.3  # how many times the worst listed style's faults are still sound
_FINE, _COARSE = 1.0, 4.0  # deviations of the Gaussians between which marks are counted, pixels
_SIDE = 96
_FRAMES = 16
_BATCH = 32


@dataclass(frozen=True)
class Looks:
    """What styles look like on some frames.

    Attributes:
        statistics: float [K,F,8], `statistics` of every style's output on every frame.
        faults: float [K,F,5], `faults` of the same.
    """

    statistics: Values
    faults: Values

    @classmethod
    def of(cls, pictures: Sequence[Sequence[RGB]]) -> Looks:
        """Measure pictures: one row for each style, one restyled frame for each column."""
        return cls(
            np.array([[statistics(each) for each in row] for row in pictures]),
            np.array([[faults(each) for each in row] for row in pictures]),
        )

    def __getitem__(self, which: slice | Bools) -> Looks:
        """Those of some of the styles."""
        return Looks(self.statistics[which], self.faults[which])

    def __add__(self, other: Looks) -> Looks:
        """Those of these styles and, after them, of others on the same frames."""
        return Looks(
            np.concatenate([self.statistics, other.statistics]),
            np.concatenate([self.faults, other.faults]),
        )

    def distances(self) -> Values:
        """Seen distances [K,K]: that of the statistics, averaged over frames, in units of Lab."""
        apart = self.statistics[:, None] - self.statistics[None]
        return np.asarray(np.sqrt(np.square(apart).sum(-1)).mean(-1))

    def sound(self, models: Looks, tolerance: float = TOLERANCE) -> Bools:
        """Which styles [K] have, on every frame, no fault larger than `tolerance` times the worst
        of the models."""
        return np.asarray((self.faults <= tolerance * models.faults.max(0)).all((1, 2)))


def statistics(picture: RGB) -> Values:
    """Eight numbers of a uint8 RGB [H,W,3] picture, all in units of CIE Lab.

    Mean and deviation of L*, a* and b*, then the deviation of what in L* is finer than one pixel
    and of what lies between one and four.
    """
    lab = _lab(picture)
    marks = _marks(lab[..., 0])
    return np.concatenate([lab.mean((0, 1)), lab.std((0, 1)), marks]).astype(np.float64)


def faults(picture: RGB) -> Values:
    """Five numbers that are large where a picture is broken.

    The share of clipped values, mean chroma, deviation of chroma (a* and b* together), and the
    inverses of the deviation of L*, which a black, white or flat picture lacks, and of its fine
    marks, which a smeared one lacks.
    """
    lab = _lab(picture)
    colours = lab[..., 1:]
    contrasts = np.maximum([lab[..., 0].std(), _marks(lab[..., 0])[0]], 1e-3)
    clipped = np.mean((picture <= 2) | (picture >= 253))
    chroma = np.hypot(colours[..., 0], colours[..., 1]).mean()
    patches = np.sqrt(colours.var((0, 1)).sum())
    return np.array([clipped, chroma, patches, *(1 / contrasts)])


class Sight:
    """What a generator makes of codes, on a few small contents.

    Args:
        generator: on the CPU.
        contents: uint8 RGB [N,H,W,3] as the generator learnt to see them (see `exposure`).
    """

    def __init__(self, generator: Generator, contents: RGB) -> None:
        self._generator = generator
        size = (_SIDE, _SIDE)
        small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in contents]
        # From the calmest to the busiest: a style that suits one may break the other.
        small.sort(key=lambda each: float(statistics(each.astype(np.uint8))[-1]))
        places = np.linspace(0, len(small) - 1, min(_FRAMES, len(small)))
        chosen = np.stack([small[round(place)] for place in places])
        rgb = torch.from_numpy(chosen).movedim(-1, 1).float() / 255
        self._planes = rgb_to_planes(rgb)
        self._sharpen = focus(self._planes[:, :4])

    def __call__(self, codes: torch.Tensor) -> Looks:
        """Looks of codes [K,S]."""
        found = [self._look(part) for part in torch.split(codes, _BATCH)]
        return reduce(add, found)

    @torch.no_grad()
    def _look(self, codes: torch.Tensor) -> Looks:
        frames = []
        full = codes.new_ones(len(codes), 1)
        for planes, sharpen in zip(self._planes, self._sharpen, strict=True):
            repeated = planes.expand(len(codes), -1, -1, -1)
            out = self._generator(repeated, codes, full, sharpen)
            shown = planes_to_rgb(out).clamp(0, 1).movedim(1, -1)
            frames.append((shown * 255).round().byte().numpy())
        return Looks.of(list(zip(*frames, strict=True)))


def nearest(distances: Values) -> Values:
    """The distance of each of K things to its nearest neighbour, [K], from all distances [K,K]."""
    apart = np.array(distances, np.float64)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.min(1))


def farthest_first(distances: Values, count: int) -> list[int]:
    """Up to `count` of K things: the middle one, then always the one farthest from all before it.

    Any first few are spread at least half as well as any choice of as many could be (Gonzalez,
    "Clustering to Minimize the Maximum Intercluster Distance", 1985).
    """
    order = [int(distances.mean(1).argmin())]
    apart = np.array(distances[order[0]])
    while len(order) < min(count, len(distances)):
        order.append(int(apart.argmax()))
        apart = np.minimum(apart, distances[order[-1]])
    return order


def _marks(lightness: NDArray[np.float32]) -> list[float]:
    fine, coarse = (cv2.GaussianBlur(lightness, (0, 0), sigma) for sigma in (_FINE, _COARSE))
    return [float((lightness - fine).std()), float((fine - coarse).std())]


def _lab(picture: RGB) -> NDArray[np.float32]:
    scaled = picture.astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab), np.float32)
