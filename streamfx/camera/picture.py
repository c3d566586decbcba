"""Pictures for the camera: fitted, mirrored, and the card that stands in for one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from streamfx.frames import Color, Frame
from streamfx.live.picture import Size, fitted_size, letterboxed, resized

_BT601 = Color(matrix=6, range=1, primaries=6, transfer=6)
_GROUND, _INK = 40, 200
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def fitted(frame: Frame, size: Size, *, mirror: bool) -> Frame:
    """The picture inside `size`, black around it, mirrored left to right if asked."""
    whole = letterboxed(resized(frame, fitted_size(frame.width, frame.height, size)), size)
    if not mirror:
        return whole
    y, u, v = (np.ascontiguousarray(plane[:, ::-1]) for plane in (whole.y, whole.u, whole.v))
    return replace(whole, y=y, u=u, v=v)


def card(size: Size, text: str) -> Frame:
    """A dark picture with a line of text, for when there is nothing to show yet."""
    width, height = size
    luma = np.full((height, width), _GROUND, np.uint8)
    chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
    plain = text.encode("ascii", "replace").decode()
    (unit, _), _ = cv2.getTextSize(plain, _FONT, 1.0, 2)
    scale = min(0.8 * width / max(unit, 1), height / 240)
    thickness = max(1, round(2 * scale))
    (across, along), _ = cv2.getTextSize(plain, _FONT, scale, thickness)
    corner = ((width - across) // 2, (height + along) // 2)
    cv2.putText(luma, plain, corner, _FONT, scale, _INK, thickness, cv2.LINE_AA)
    return Frame(luma, chroma[0], chroma[1], color=_BT601)
