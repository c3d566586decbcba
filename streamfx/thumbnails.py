"""Small pictures that show what a style does: the demo scene, restyled."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.demo import draw
from streamfx.styles import Pack
from streamfx.stylizer import Stylizer

_SIZE = (320, 180)
_SCENE_TIME = 3.0  # seconds into the demo scene
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 88]


def scene_thumbnail(pack: Pack, code: NDArray[np.float32], backend: str = "auto") -> bytes:
    """The demo scene in the style with this code, a JPEG of 320x180 pixels.

    Raises:
        EngineError: the scene cannot be restyled.
    """
    with Stylizer(pack.styles[0].name, pack=pack, backend=backend, threads=1) as stylizer:
        stylizer.code = code
        picture = stylizer.picture(draw(_SCENE_TIME, *_SIZE))
    return encode_jpeg(picture[:, :, ::-1])


def encode_jpeg(bgr: NDArray[Any]) -> bytes:
    """A uint8 BGR picture [H, W, 3] as JPEG."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(bgr), _QUALITY)
    return bytes(data)
