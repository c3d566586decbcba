"""What the style term wants: feature statistics of the whole paintings, in colour and in grey."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamfx.training import losses
from streamfx.training.color import rgb_luma
from streamfx.training.perceptual import ContentNetwork

# Pixels at which a painting's marks have the size that they are to have in a picture.
AREA = 640 * 360
MOST_PAINTINGS = 32


class StyleGoals(nn.Module):
    """The paintings' statistics, and how far pictures are from them.

    Args:
        paintings: of each style, uint8 [H,W,3] each.
    """

    means: Tensor
    deviations: Tensor
    lumas: Tensor

    def __init__(
        self, features: ContentNetwork, paintings: Sequence[Sequence[NDArray[np.uint8]]]
    ) -> None:
        super().__init__()
        self._channels: list[int] = []
        rows = [self._look_at(features, each) for each in paintings]
        names = ("means", "deviations", "lumas")
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            self.register_buffer(name, torch.stack(values), persistent=False)

    @torch.no_grad()
    def _look_at(
        self, features: ContentNetwork, paintings: Sequence[NDArray[np.uint8]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A style's means and deviations, [2,C] in colour and in grey with the channels of all
        scales in a row, and the mean and deviation of its luma, [2]."""
        device = next(features.parameters()).device
        found = []
        for painting in paintings[:: -(-len(paintings) // MOST_PAINTINGS)]:
            factor = (AREA / (painting.shape[0] * painting.shape[1])) ** 0.5
            method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            scaled = cv2.resize(painting, None, fx=factor, fy=factor, interpolation=method)
            rgb = torch.tensor(scaled, device=device).movedim(-1, 0)[None] / 255
            grey = rgb_luma(rgb)
            maps = features(torch.cat([rgb, grey.expand_as(rgb)]))
            self._channels = [each.shape[1] for each in maps]
            both = losses.statistics(maps)
            means, deviations = (torch.cat([each[i] for each in both], 1) for i in range(2))
            found.append((means, deviations, torch.stack([grey.mean(), grey.std()])))
        means, deviations, lumas = (torch.stack(x).mean(0) for x in zip(*found, strict=True))
        return means, deviations, lumas

    def grey(self, rgb: Tensor, styles: Tensor) -> Tensor:
        """Pictures [P,3,H,W] without colour, in the brightness and contrast of the paintings of
        `styles` [P]."""
        grey = rgb_luma(rgb)
        goal, wanted = self.lumas[styles, :, None, None, None].unbind(1)
        over = (1, 2, 3)
        scale = wanted / grey.std(over, keepdim=True).clamp(min=1e-3)
        grey = (grey - grey.mean(over, keepdim=True)) * scale + goal
        return grey.clamp(0, 1).expand_as(rgb)

    def distance(self, maps: list[Tensor], styles: Tensor, in_grey: bool) -> Tensor:
        """Style distance (`losses.style`) of pictures to the paintings of `styles` [P].

        Args:
            maps: the pictures' features, [P,C,h,w] each.
            in_grey: whether the pictures are without colour, see `grey`.
        """
        bank = int(in_grey)
        means, deviations = (
            torch.split(x[styles, bank], self._channels, 1) for x in (self.means, self.deviations)
        )
        goals = list(zip(means, deviations, strict=True))
        return losses.style(losses.statistics(maps), goals)
