"""Portraits in a person's style, judged: is it still who it was, and is it in that style?

Neither judge took part in any training: faces are compared by `streamfx.training.identity`,
styles by `streamfx.training.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from streamfx.pictures import scale_to_area

from .faces import Face
from .judge import Judge, LayerStatistics, distance
from .metrics import RGB, Floats

AREA = 512 * 512  # pixels at which pictures are compared
_WINDOW = 0.6  # of a picture's sides
_CORNERS = ((0, 0), (1, 1), (0, 1), (1, 0))  # the first two are learnt, the others held back


class Embeds(Protocol):
    """What `streamfx.training.identity.FaceIdentity` does."""

    def __call__(self, frame: RGB, face: Face) -> Floats: ...


@dataclass(frozen=True)
class Likeness:
    """How much of a person's likeness restyling leaves.

    Attributes:
        pairs: of a picture and another one of the same person.
        before, after: mean similarity of the faces of a pair, before and after the first one is
            restyled; a face that is not found any more is like nobody (0).
        found: share of the restyled pictures in which there still is a face.
    """

    pairs: int
    before: float
    after: float
    found: float

    @property
    def kept(self) -> float:
        """`after` over `before`."""
        return self.after / self.before


def likeness(
    pictures: Sequence[RGB],
    restyled: Sequence[RGB],
    find: Callable[[RGB], list[Face]],
    embed: Embeds,
) -> Likeness:
    """Compare every picture of one person, restyled, with every other one, untouched.

    Args:
        pictures: uint8 RGB [H, W, 3], of one person, whose face is the surest in each.
        restyled: the same pictures in a style.
        find, embed: a `FaceFinder` and a `FaceIdentity`.

    Raises:
        ValueError: fewer than two of the pictures show a face.
    """
    inputs, outputs = (
        [embed(picture, faces[0]) if (faces := find(picture)) else None for picture in each]
        for each in (pictures, restyled)
    )
    before, after = [], []
    for index, own in enumerate(inputs):
        for other, reference in enumerate(inputs):
            if own is not None and reference is not None and index != other:
                drawn = outputs[index]
                before.append(float(own @ reference))
                after.append(0.0 if drawn is None else float(drawn @ reference))
    if not before:
        raise ValueError("two pictures with the person's face are the least")
    kept = [
        output is not None for own, output in zip(inputs, outputs, strict=True) if own is not None
    ]
    return Likeness(len(before), fmean(before), fmean(after), fmean(kept))


class StyleClassifier:
    """Says which of several kinds of pictures one belongs to, by its nearest known window.

    Pictures are cut into four overlapping windows; two of each are learnt, and the other two say
    how far it is to be trusted.

    Args:
        kinds: pictures of each, uint8 RGB [H, W, 3].
    """

    def __init__(self, judge: Judge, kinds: Mapping[str, Sequence[RGB]]) -> None:
        self._judge = judge
        self._known: list[tuple[str, list[LayerStatistics]]] = []
        self._held: list[tuple[str, RGB]] = []
        for kind, pictures in kinds.items():
            for picture in pictures:
                windows = _windows(scale_to_area(picture, AREA))
                self._known += [(kind, judge.statistics(window)) for window in windows[:2]]
                self._held += [(kind, window) for window in windows[2:]]

    def __call__(self, picture: RGB) -> str:
        """The kind that most of a picture's windows belong to."""
        votes = [self._nearest(window) for window in _windows(scale_to_area(picture, AREA))]
        return max(votes, key=votes.count)

    def accuracy(self) -> float:
        """Share of the windows held back that it is right about; 0..1."""
        return fmean(self._nearest(window) == kind for kind, window in self._held)

    def _nearest(self, window: RGB) -> str:
        found = self._judge.statistics(window)
        return min(self._known, key=lambda known: distance(found, known[1]))[0]


def _windows(picture: RGB) -> list[RGB]:
    """A window at each corner."""
    height, width = picture.shape[:2]
    rows, columns = int(height * _WINDOW), int(width * _WINDOW)
    windows = []
    for down, right in _CORNERS:
        top, left = down * (height - rows), right * (width - columns)
        windows.append(np.ascontiguousarray(picture[top : top + rows, left : left + columns]))
    return windows
