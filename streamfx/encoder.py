"""The style encoder: from any picture to a style code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from streamfx.engines.base import EngineOptions
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_function
from streamfx.engines.onnxruntime import create_session
from streamfx.errors import InputError
from streamfx.pictures import Picture, square

SIDE = 256


def read_encoder(graph: bytes, style_size: int) -> ModelProto:
    """Parse a style encoder and check its tensors.

    It reads `picture`, float32 [N, 3, 256, 256], RGB in 0..1, and gives `style`, float32 [N, S].

    Raises:
        EngineError: it is not a self-contained ONNX graph of that form.
    """
    return read_function(
        graph, "style encoder", ("picture", [3, SIDE, SIDE]), ("style", [style_size])
    )


class StyleEncoder:
    """A style encoder on ONNX Runtime; one thread at a time may call it."""

    def __init__(self, graph: bytes, style_size: int) -> None:
        read_encoder(graph, style_size)
        self._session = create_session(graph, EngineOptions().thread_count())
        self._style_size = style_size

    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        """The style code, float32 [S], of a uint8 RGB picture [H, W, 3].

        The encoder sees the largest centred square.

        Raises:
            InputError: the code is not finite.
            EngineError: the encoder failed.
        """
        pixels = square(picture, SIDE).astype(np.float32) / 255
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        try:
            (code,) = self._session.run(["style"], {"picture": batch})
        except Exception as error:  # ONNX Runtime raises plain and private types
            raise EngineError(f"the style encoder failed: {error}") from error
        if code.shape != (1, self._style_size) or not np.isfinite(code).all():
            raise InputError("the pack's style encoder gives no usable code for this picture")
        return np.asarray(code[0], np.float32)
