"""Where a stream starts afresh: scene cuts and gaps, as pure functions.

The cut detector compares two small high-passed pictures of the luma by normalised correlation
at every shift that a pan could have made between them (template matching). Correlation does
not see brightness and contrast, so a fade is no cut; the high pass takes away the large light
and dark areas in which any two pictures resemble each other.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Sketch = NDArray[np.float32]

LONGEST_GAP = 0.5
_SIZE = (64, 36)  # (width, height) of a sketch
_PAN = (8, 5)  # the largest shift between two frames, (x, y), in sketch pixels: 1/8 of a side
_SMOOTHING = 3.0
_SMALLEST_CHANGE = 6.0  # levels on average: noise and slow fades stay below
_FLAT = 2.0  # levels of deviation: there is nothing to correlate
_FLAT_CHANGE = 40.0  # levels: from black to a picture, at once
# Unrelated pictures lie at 0.13 (99 % below 0.3); a car across half of the picture at 0.4.
_LOWEST_CORRELATION = 0.3


def sketch(luma: NDArray[np.uint8]) -> Sketch:
    """The luma, uint8 [H, W], averaged down to float32 [36, 64]."""
    small = cv2.resize(luma, _SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def is_cut(previous: Sketch, current: Sketch) -> bool:
    """Whether another scene starts between two frames, given by their sketches."""
    change = float(np.mean(np.abs(current - previous)))
    if change < _SMALLEST_CHANGE:
        return False
    before, now = _high_pass(previous), _high_pass(current)
    if before.std() < _FLAT or now.std() < _FLAT:
        return change > _FLAT_CHANGE
    x, y = _PAN
    centre = before[y:-y, x:-x]
    return float(cv2.matchTemplate(now, centre, cv2.TM_CCOEFF_NORMED).max()) < _LOWEST_CORRELATION


def is_gap(previous: float, current: float) -> bool:
    """Whether time jumps between two frames, given in seconds: back, or ahead by over 0.5 s."""
    return not 0 <= current - previous <= LONGEST_GAP


def _high_pass(picture: Sketch) -> Sketch:
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), _SMOOTHING), np.float32)
