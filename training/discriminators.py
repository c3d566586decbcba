"""Discriminators: is this patch from the painting, and do these three frames belong together?"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Patch logits conditioned on the style code by projection (Miyato and Koyama 2018)."""

    def __init__(self, inputs: int, style_size: int, width: int = 32) -> None:
        super().__init__()
        sizes = [inputs, width, 2 * width, 3 * width]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(sizes)
        )
        self.judge = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, 1, 1))
        self.project = spectral_norm(nn.Linear(style_size, sizes[-1]))

    def forward(self, pictures: Tensor, style: Tensor) -> Tensor:
        x = pictures
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        related = (x * self.project(style)[:, :, None, None]).sum(1, keepdim=True)
        logits: Tensor = self.judge(x) + related
        return logits


class MultiScaleDiscriminator(nn.Module):
    """Two patch discriminators, at full and at half size; their logits in one row."""

    def __init__(self, style_size: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(3, style_size) for _ in range(2))

    def forward(self, pictures: Tensor, style: Tensor) -> Tensor:
        logits = []
        for index, scale in enumerate(self.scales):
            x = F.avg_pool2d(pictures, 2) if index else pictures
            logits.append(scale(x, style).flatten(1))
        return torch.cat(logits, dim=1)


class TemporalDiscriminator(nn.Module):
    """Three consecutive frames and the outer two moved onto the middle one: [N,15,H,W].

    After TecoGAN (Chu et al. 2020); real triples are rendered targets. Half size is enough:
    what flickers is not single pixels.
    """

    def __init__(self, style_size: int) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(15, style_size)

    def forward(self, triples: Tensor, style: Tensor) -> Tensor:
        logits: Tensor = self.patch(F.avg_pool2d(triples, 2), style).flatten(1)
        return logits
