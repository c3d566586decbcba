"""Where on a painted canvas the things of a picture lie, so that their marks stay with them.

A stream's first frame is hung on the canvas by its strongest corner (Shi and Tomasi, "Good
Features to Track", CVPR 1994): the same scene gets the same marks wherever the camera looks, after
a cut too. From then on each thing carries its place along as it moves.

Places are float32 [2, 180, 320]: the x and the y on the canvas of every pixel of a reduced frame
(`streamfx.motion`), in its pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.flow import Floats, Luma, grid, sample
from streamfx.motion import REDUCED, Motion

_WINDOW = 7  # pixels of a corner
# Of each side: a corner farther out would leave the picture with a small turn of the camera.
_OUTSIDE = 0.2


def hang(luma: Luma) -> Floats:
    """The places of a stream's first frame, uint8 [H, W]: its strongest corner is the origin."""
    height, width = luma.shape
    top, left = int(height * _OUTSIDE), int(width * _OUTSIDE)
    inner = np.ascontiguousarray(luma[top : height - top, left : width - left])
    corners = cv2.cornerMinEigenVal(inner, _WINDOW)
    row, column = np.unravel_index(int(np.argmax(corners)), corners.shape)
    w, h = REDUCED
    x, y = grid(h, w)
    return np.stack(
        [x - np.float32((left + column) * w / width), y - np.float32((top + row) * h / height)]
    )


def carry(places: Floats, motion: Motion, hung: Floats) -> Floats:
    """The places of the next frame.

    Args:
        places: those of the last one.
        motion: between the two.
        hung: those of the stream's first frame, which what is new takes on.
    """
    moved = [
        np.where(motion.new, start, sample(before, motion.x, motion.y))
        for before, start in zip(places, hung, strict=True)
    ]
    return np.stack(moved)


def lay(texture: Floats, places: Floats, size: tuple[int, int]) -> Floats:
    """A texture as it lies on what a frame of `size` (height, width) shows, float32 [H, W].

    Args:
        texture: float32, of any size: the canvas is tiled with it. It is fast where it has twice
            the frame's sides or more.
    """
    height, width = size
    _, h, w = places.shape
    x, y = (
        # From the texture's middle there is as far to go to either side.
        np.asarray(cv2.resize((plane + 0.5) * scale + (middle - 0.5), (width, height)), np.float32)
        for plane, scale, middle in zip(
            places, (width / w, height / h), (width, height), strict=True
        )
    )
    laid = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(laid, np.float32)
