"""The brushwork of a run's styles: swatches cut from their paintings, and how much of it to lay."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from streamfx.brushwork import (
    AREA,
    SIDE,
    Paint,
    decode_swatches,
    encode_swatches,
    weave,
)
from streamfx.flow import Floats
from streamfx.pictures import scale_to_area
from streamfx.training.abstraction import luma
from streamfx.training.color import planes_to_rgb, rgb_to_planes
from streamfx.training.exposure import focus
from streamfx.training.goals import Goals
from streamfx.training.library import Library
from streamfx.training.networks import Networks
from streamfx.training.perceptual import ContentNetwork
from streamfx.training.views import whole_views
from streamfx.training.windows import tensor, window

Pictures = NDArray[np.uint8]

SWATCHES = 16
_CUT = 400  # of which the most even are kept
_REACH = 4.0  # deviation of the Gaussian that fine structure stands out from, pixels
_BLOCKS = 4  # a swatch's side in parts, all of which are to have marks
_AMOUNTS = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
_CONTENTS = 12


def cut_swatches(paintings: Sequence[Pictures], seed: int) -> Floats:
    """Swatches [P,96,96] of deviation one of paintings, uint8 RGB [H,W,3].

    Of many squares of the luma, less what is broader than a brush, the most even are kept that
    have about as much of it as is usual: with paint all over, and no outline of what is shown.
    """
    random = np.random.default_rng(seed)
    reliefs = [_relief(painting) for painting in paintings]
    squares = np.stack(
        [window(random, reliefs[index % len(reliefs)], SIDE) for index in range(_CUT)]
    )
    powers = squares.reshape(_CUT, _BLOCKS, SIDE // _BLOCKS, _BLOCKS, SIDE // _BLOCKS)
    blocks = np.sqrt(np.square(powers).mean((2, 4))).reshape(_CUT, -1)
    # A level more keeps what is all but flat from being far from everything.
    unevenness = np.abs(np.log((blocks + 1) / (np.median(blocks) + 1))).max(1)
    best = squares[np.argsort(unevenness, kind="stable")[:SWATCHES]]
    best = best - best.mean((1, 2), keepdims=True)
    return np.asarray(best / np.maximum(best.std((1, 2), keepdims=True), 1e-3), np.float32)


def _relief(painting: Pictures) -> Floats:
    """The fine structure of a painting's luma [H,W], at the size of `AREA`."""
    height, width = painting.shape[:2]
    # Long pictures are enlarged until a swatch fits in.
    area = max(AREA, height * width * ((SIDE + 1) / min(height, width)) ** 2)
    grey = luma(scale_to_area(painting, area).astype(np.float32))
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), _REACH), np.float32)


@torch.no_grad()
def fit_brushwork(
    networks: Networks, library: Library, goals: Goals, most: float, seed: int
) -> list[Paint]:
    """The brushwork of every catalogue style.

    Laid is the amount, at most `most` levels, with which restyled contents come nearest to the
    style by its distances in colour and in grey, measured as the style term does.
    """
    amounts = [amount for amount in _AMOUNTS if amount <= most]
    features = ContentNetwork()
    planes = rgb_to_planes(tensor(whole_views(library.contents, _CONTENTS)))
    size = (2 * planes.shape[2], 2 * planes.shape[3])
    paints = []
    for number, style in enumerate(library.styles[: library.catalogue]):
        # As they will be once they have been stored.
        swatches = encode_swatches(cut_swatches(style.paintings, seed))
        texture = torch.from_numpy(weave(decode_swatches(swatches, style.name), size))
        code = networks.codes.weight[number].detach()
        plain = networks.generator(
            planes, code.expand(len(planes), -1), planes.new_ones(len(planes), 1),
            focus(planes[:, :4]),
        )  # fmt: skip
        goal = goals.rows(torch.full((len(planes),), number))
        distances = [
            float(goal.distances(features, shown_with(plain, amount * texture)))
            for amount in amounts
        ]
        amount = amounts[int(np.argmin(distances))]
        paints.append(Paint(code.numpy(), swatches, amount))
    return paints


def shown_with(planes: torch.Tensor, texture: torch.Tensor) -> torch.Tensor:
    """What is seen [N,3,2h,2w], RGB in 0..1, of planes [N,6,h,w] with a texture [2h,2w] laid on,
    in levels of 255."""
    cells = F.pixel_unshuffle(texture[None, None] / 255, 2)
    laid = torch.cat([planes[:, :4] + cells, planes[:, 4:]], 1)
    return planes_to_rgb(laid.clamp(0, 1)).clamp(0, 1)
