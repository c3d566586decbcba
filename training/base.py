"""Starting a run from the networks of a style pack instead of from nothing."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from streamfx.errors import InputError
from streamfx.styles import Pack
from streamfx.training.networks import Networks

GENERATOR_WEIGHTS = "training/generator.safetensors"
ENCODER_WEIGHTS = "training/encoder.safetensors"
_SIDE = 256


def start_from(
    pack: Pack, networks: Networks, paintings: list[tuple[NDArray[np.uint8], ...]]
) -> None:
    """Give the networks the weights of a pack, and each style the code that they read from it.

    Args:
        paintings: uint8 [H,W,3] pictures of every catalogue style.

    Raises:
        InputError: the pack holds no weights, or those of another network.
    """
    for module, member in (
        (networks.generator, GENERATOR_WEIGHTS),
        (networks.encoder, ENCODER_WEIGHTS),
    ):
        _load(module, pack, member)
    with torch.no_grad():
        codes = [networks.encoder(_squares(pictures)).mean(0) for pictures in paintings]
        networks.codes.weight.copy_(torch.stack(codes))


def _load(module: nn.Module, pack: Pack, member: str) -> None:
    if member not in pack.manifest.members:
        raise InputError(
            f"the style pack {pack.name!r} holds no weights to start from ({member} is missing)"
        )
    try:
        module.load_state_dict(load_tensors(pack.read(member)))
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(
            f"the style pack {pack.name!r} cannot be started from; its networks are others than "
            f"those of this recipe: {first}"
        ) from None


def _squares(pictures: tuple[NDArray[np.uint8], ...]) -> Tensor:
    """The largest centred square of each picture: [N,3,256,256] in 0..1."""
    squares = []
    for picture in pictures:
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = picture[top : top + side, left : left + side]
        squares.append(cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.stack(squares)).movedim(-1, 1).float() / 255
