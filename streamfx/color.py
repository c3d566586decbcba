"""RGB pictures to 4:2:0 planes and back: BT.709, limited range, chroma in the middle.

Only stills and thumbnails pass here; video stays in the planes that the decoder gave.
The constants are those of Recommendation ITU-R BT.709, item 3, for 8 bits.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.frames import Color, Frame

BT709 = Color(matrix=1, range=1, primaries=1, transfer=1)

_KR, _KB = 0.2126, 0.0722
_LUMA = np.array([_KR, 1 - _KR - _KB, _KB])
_BLUE = (np.array([0, 0, 1]) - _LUMA) / (2 * (1 - _KB))
_RED = (np.array([1, 0, 0]) - _LUMA) / (2 * (1 - _KR))
_OFFSET = np.array([16, 128, 128])
# RGB in 0..255 -> (Y', Cb, Cr) in limited range
_MATRIX = np.stack([_LUMA * 219, _BLUE * 224, _RED * 224]) / 255
_INVERSE = np.linalg.inv(_MATRIX)
_TO_YUV = np.column_stack([_MATRIX, _OFFSET])
_TO_RGB = np.column_stack([_INVERSE, -_INVERSE @ _OFFSET])


def frame_from_rgb(rgb: NDArray[np.uint8]) -> Frame:
    """A frame of the uint8 RGB picture [H, W, 3]; both sides are even.

    Raises:
        ValueError: the picture has another shape or type, or an odd side.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"a picture is uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
    height, width = rgb.shape[:2]
    if height < 2 or width < 2 or height % 2 or width % 2:
        raise ValueError(f"a 4:2:0 frame has even sides, not {width}x{height}")
    yuv = cv2.transform(rgb.astype(np.float32), _TO_YUV)
    chroma = cv2.resize(yuv[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return Frame(
        _to_bytes(yuv[..., 0]), _to_bytes(chroma[..., 0]), _to_bytes(chroma[..., 1]), color=BT709
    )


def frame_to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """The uint8 RGB picture [H, W, 3] of a BT.709 limited-range frame."""
    size = (frame.width, frame.height)
    chroma = [
        cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        for plane in (frame.u, frame.v)
    ]
    yuv = np.dstack([frame.y.astype(np.float32), *chroma])
    return _to_bytes(cv2.transform(yuv, _TO_RGB))


def even(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] with its last row or column repeated where a side is odd."""
    height, width = rgb.shape[:2]
    return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
