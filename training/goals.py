"""What the style term wants: feature statistics of whole paintings, in colour and in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.pictures import scale_to_area
from streamfx.training import losses
from streamfx.training.color import grey_as, rgb_luma
from streamfx.training.perceptual import ContentNetwork

# Pixels at which a painting's marks have the size that they are to have in a picture.
AREA = 640 * 360
MOST_PAINTINGS = 32


@dataclass(frozen=True)
class Goals:
    """What pictures are to come near to, a row for each.

    Attributes:
        means, deviations: of features in colour and in grey [P,2,C], the channels of all scales
            in a row.
        lumas: mean and deviation of the luma [P,2].
    """

    means: Tensor
    deviations: Tensor
    lumas: Tensor

    def cpu(self) -> Goals:
        """The same in the host's memory."""
        return Goals(self.means.cpu(), self.deviations.cpu(), self.lumas.cpu())

    def rows(self, chosen: Tensor) -> Goals:
        """Those of the paintings `chosen` [P]."""
        return Goals(self.means[chosen], self.deviations[chosen], self.lumas[chosen])

    def replaced(self, places: Tensor, others: Goals) -> Goals:
        """Rows of `others` where `places` [P] is true."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Goals(
            *(
                torch.where(places.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)
                for mine, theirs in pairs
            )
        )

    def grey(self, rgb: Tensor) -> Tensor:
        """Pictures [P,3,H,W] without colour, in the brightness and contrast of the paintings."""
        mean, deviation = self.lumas[:, :, None, None, None].unbind(1)
        return grey_as(rgb, mean, deviation)

    def distance(self, maps: list[Tensor], in_grey: bool) -> Tensor:
        """Style distance (`losses.style`) of pictures.

        Args:
            maps: the pictures' features, [P,C,h,w] each.
            in_grey: whether the pictures are without colour, see `grey`.
        """
        channels = [each.shape[1] for each in maps]
        means, deviations = (
            torch.split(x[:, int(in_grey)], channels, 1) for x in (self.means, self.deviations)
        )
        return losses.style(losses.statistics(maps), list(zip(means, deviations, strict=True)))

    def distances(self, features: ContentNetwork, rgb: Tensor) -> Tensor:
        """Style distances in colour and in grey of pictures [P,3,H,W], RGB in 0..1: their sum."""
        in_colour = self.distance(features(rgb), in_grey=False)
        return in_colour + self.distance(features(self.grey(rgb)), in_grey=True)


@torch.no_grad()
def look_at(features: ContentNetwork, paintings: Tensor) -> Goals:
    """The goals that paintings [P,3,H,W], RGB in 0..1, set, as large as they are."""
    grey = rgb_luma(paintings)
    banks = [losses.statistics(features(rgb)) for rgb in (paintings, grey.expand_as(paintings))]
    means, deviations = (
        torch.stack([torch.cat([scale[i] for scale in bank], 1) for bank in banks], 1)
        for i in range(2)
    )
    lumas = torch.stack([grey.mean((1, 2, 3)), grey.std((1, 2, 3))], 1)
    return Goals(means, deviations, lumas)


def goals_of_styles(
    features: ContentNetwork, styles: Sequence[Sequence[NDArray[np.uint8]]]
) -> Goals:
    """The goals of styles: the means of those of their paintings, uint8 [H,W,3] each, at `AREA`."""
    device = next(features.parameters()).device
    found = []
    for paintings in styles:
        few = paintings[:: -(-len(paintings) // MOST_PAINTINGS)]
        scaled = [torch.tensor(scale_to_area(each, AREA), device=device) for each in few]
        pictures = [each.movedim(-1, 0)[None] / 255 for each in scaled]
        each_one = [vars(look_at(features, picture)).values() for picture in pictures]
        found.append([torch.cat(rows).mean(0) for rows in zip(*each_one, strict=True)])
    return Goals(*(torch.stack(rows) for rows in zip(*found, strict=True)))
