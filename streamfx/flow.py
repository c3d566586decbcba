"""Dense optical flow of small frames, to parts of a pixel, in a few milliseconds of one core.

Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016)
as OpenCV has it finds the flow to within a pixel; one step of least squares over a window (Lucas
and Kanade, "An Iterative Image Registration Technique", IJCAI 1981) brings it nearer. Searching
at full resolution instead comes nearer still and takes twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Luma = NDArray[np.uint8]
T = TypeVar("T", np.uint8, np.float32)

# Scales of the search down to 1/2; the preset stops at 1/4.
_FINEST_SCALE = 1
_WINDOW = 9
# Added to the squared gradients of a window: where there is next to none the search has its way.
_DAMPING = 8.0
_LONGEST_STEP = 0.5  # pixels; more is no refinement


@dataclass(frozen=True)
class Flow:
    """Where the things of one frame were in another.

    Attributes:
        x, y: float32 [h, w], from a thing's place to the one it had, pixels.
        detail: float32 [h, w], mean squared gradient around, (levels per pixel) squared: where it
            is small, the flow is a guess.
    """

    x: Floats
    y: Floats
    detail: Floats


def find_flow(previous: Luma, current: Luma) -> Flow:
    """The flow from `current` back to `previous`, both uint8 [h, w]."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(_FINEST_SCALE)
    found = search.calc(current, previous, np.zeros((*current.shape, 2), np.float32))
    x, y = (_without_outliers(np.asarray(plane, np.float32)) for plane in cv2.split(found))
    return _refined(x, y, previous.astype(np.float32), current.astype(np.float32))


def sample(picture: NDArray[T], x: Floats, y: Floats, method: int = cv2.INTER_LINEAR) -> NDArray[T]:
    """A picture [h, w] at places of its own in pixels; beyond its edge, that of the edge.

    Args:
        picture: uint8 or float32; so is what comes.
        x, y: float32 [H, W].
        method: of interpolation, OpenCV's.
    """
    found = cv2.remap(picture, x, y, method, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, picture.dtype)


def mean_around(values: NDArray[Any], side: int) -> Floats:
    """The mean of a square around every place, float32 [h, w]."""
    return np.asarray(cv2.boxFilter(values, cv2.CV_32F, (side, side)), np.float32)


@lru_cache(maxsize=1)
def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """The x and the y of every pixel, float32 [h, w] each."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def _without_outliers(plane: Floats) -> Floats:
    height, width = plane.shape
    small = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.medianBlur(small, 5), (width, height)), np.float32)


def _refined(x: Floats, y: Floats, previous: Floats, current: Floats) -> Flow:
    column, row = grid(*current.shape)
    # Cubic: a linear sample is blurred where it lies between pixels, which draws it to them.
    moved = sample(previous, column + x, row + y, cv2.INTER_CUBIC)
    # Gradients of both, or the step would be short where one is blurred.
    both = current + moved
    gx, gy = (
        np.asarray(cv2.Sobel(both, cv2.CV_32F, *order, ksize=3, scale=1 / 16), np.float32)
        for order in ((1, 0), (0, 1))
    )
    rest = current - moved
    xx, yy, xy, x_rest, y_rest = (
        mean_around(product, _WINDOW)
        for product in (gx * gx, gy * gy, gx * gy, gx * rest, gy * rest)
    )
    detail = xx + yy
    xx += np.float32(_DAMPING)
    yy += np.float32(_DAMPING)
    determinant = xx * yy - xy * xy
    step_x, step_y = (
        np.clip(step / determinant, -_LONGEST_STEP, _LONGEST_STEP, dtype=np.float32)
        for step in (yy * x_rest - xy * y_rest, xx * y_rest - xy * x_rest)
    )
    return Flow(x + step_x, y + step_y, detail)
