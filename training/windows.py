"""What of pictures and paintings a batch shows: which styles, and which parts of them."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.training.library import Library
from streamfx.training.recipes import DataConfig

ENCODER_SIDE = 256
Value = TypeVar("Value", np.uint8, np.float32)


def draw_styles(
    random: np.random.Generator, library: Library, data: DataConfig
) -> tuple[int, int, float]:
    """Two style numbers and the share of the second."""
    extras = len(library.styles) - library.catalogue
    if extras and random.random() < data.extra_share:
        style = library.catalogue + int(random.integers(extras))
        return style, style, 0.0
    first, second = (int(n) for n in random.integers(library.catalogue, size=2))
    if first != second and random.random() < data.blend_share:
        return first, second, float(random.uniform(0.2, 0.8))
    return first, first, 0.0


def style_crop(random: np.random.Generator, painting: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square part of a painting, 70 to 100 % of its shorter side, for the style encoder."""
    shorter = min(painting.shape[:2])
    part = window(random, painting, int(shorter * random.uniform(0.7, 1.0)))
    size = (ENCODER_SIDE, ENCODER_SIDE)
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def patch(random: np.random.Generator, painting: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A part of a painting at 0.8 to 1.25 of its size, mirrored half of the time."""
    edge = min(int(side * random.uniform(0.8, 1.25)), *painting.shape[:2])
    part = window(random, painting, edge)
    part = np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return part[:, ::-1] if random.random() < 0.5 else part


def window(random: np.random.Generator, picture: NDArray[Value], side: int) -> NDArray[Value]:
    """A square part of a picture [H,W,...], of `side` pixels."""
    top = int(random.integers(picture.shape[0] - side + 1))
    left = int(random.integers(picture.shape[1] - side + 1))
    return picture[top : top + side, left : left + side]


def tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 [...,H,W,3] -> float [...,3,H,W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, -3).float() / 255
