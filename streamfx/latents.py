"""Styles that nobody painted: a mapping network from a latent z to style codes.

z is drawn from a standard normal distribution by a seed, so that a seed names a style for good.
The network is trained so that the first seeds, 0 to 63, give styles that lie far from each other.
Mapping networks: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial
Networks", 2019; ours is trained by `streamfx.training.mapping`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from streamfx.engines.base import EngineOptions
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_function
from streamfx.engines.onnxruntime import create_session
from streamfx.errors import InputError

LATENT_SIZE = 64
# How far a variation goes from its style, in the deviation of the latent styles.
VARIATION = 0.4
_SAMPLES = 256  # latents whose mean is the middle of the latent styles

Code = NDArray[np.float32]


def draw_latent(seed: int) -> Code:
    """z, float32 [64], of a seed."""
    return np.random.default_rng(seed).standard_normal(LATENT_SIZE, np.float32)


def read_mapping(graph: bytes, style_size: int) -> ModelProto:
    """Parse a mapping network and check its tensors.

    It reads `latent`, float32 [N, 64], and gives `style`, float32 [N, S].

    Raises:
        EngineError: it is not a self-contained ONNX graph of that form.
    """
    return read_function(
        graph, "mapping network", ("latent", [LATENT_SIZE]), ("style", [style_size])
    )


class MappingNetwork:
    """A mapping network on ONNX Runtime; one thread at a time may call it."""

    def __init__(self, graph: bytes, style_size: int) -> None:
        read_mapping(graph, style_size)
        self._session = create_session(graph, EngineOptions().thread_count())

    def __call__(self, seed: int) -> Code:
        """The style code, float32 [S], of a seed, 0 or above.

        Raises:
            InputError: the code is not finite.
            EngineError: the network failed.
        """
        return np.asarray(self._run(draw_latent(seed)[None])[0], np.float32)

    def variation(self, seed: int) -> Code:
        """What a seed adds to the code of any style to make a variation of it, float32 [S]."""
        return np.asarray(VARIATION * (self(seed) - self._middle), np.float32)

    @cached_property
    def _middle(self) -> Code:
        latents = np.stack([draw_latent(seed) for seed in range(_SAMPLES)])
        return np.asarray(self._run(latents).mean(0), np.float32)

    def _run(self, latents: Code) -> Code:
        try:
            (codes,) = self._session.run(["style"], {"latent": latents})
        except Exception as error:  # ONNX Runtime raises plain and private types
            raise EngineError(f"the mapping network failed: {error}") from error
        if not np.isfinite(codes).all():
            raise InputError("the pack's mapping network gives no usable code")
        return np.asarray(codes, np.float32)
