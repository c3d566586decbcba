"""The mapping network: from a latent z to style codes like those that pictures have.

It is trained on what the style encoder reads from the run's paintings, cut and recoloured in
many ways, and on mixes of these, so that a latent style lies where the generator has been taught
to draw. The objective is the energy distance between its codes and the read ones (Székely and
Rizzo, "Energy statistics", 2013; for generators: Bellemare et al., "The Cramer Distance", 2017):
unlike an adversary it has an unbiased gradient, and what it punishes first is lack of variety.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamfx.latents import LATENT_SIZE
from streamfx.training.networks import StyleEncoder, act

ENCODER_SIDE = 256
BATCH = 256
MIXED = 0.5  # share of the codes that are mixes of two
WIDEST = 1.25  # mixes reach this far beyond their ends: between 0 and 1 lies only what is known

Pictures = NDArray[np.uint8]


class Mapping(nn.Module):
    """z [N,64] -> style code [N,S]."""

    def __init__(self, style_size: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(a, b) for a, b in ((LATENT_SIZE, hidden), (hidden, hidden), (hidden, hidden))
        )
        self.code = nn.Linear(hidden, style_size)

    def forward(self, latent: Tensor) -> Tensor:
        x = latent
        for layer in self.layers:
            x = act(layer(x))
        code: Tensor = self.code(x)
        return code


@torch.no_grad()
def read_codes(
    encoder: StyleEncoder, paintings: Sequence[Pictures], count: int, seed: int
) -> Tensor:
    """Codes [count,S] of windows on the paintings in other colours."""
    random = np.random.default_rng(seed)
    codes = []
    for start in range(0, count, 64):
        windows = [
            recoloured(random, _window(random, paintings[int(random.integers(len(paintings)))]))
            for _ in range(min(64, count - start))
        ]
        pictures = torch.from_numpy(np.stack(windows)).movedim(-1, 1).float() / 255
        codes.append(encoder(pictures))
    return torch.cat(codes)


def _window(random: np.random.Generator, painting: Pictures) -> Pictures:
    side = int(min(painting.shape[:2]) * random.uniform(0.5, 1.0))
    top = int(random.integers(painting.shape[0] - side + 1))
    left = int(random.integers(painting.shape[1] - side + 1))
    window = painting[top : top + side, left : left + side]
    size = (ENCODER_SIDE, ENCODER_SIDE)
    return np.asarray(cv2.resize(window, size, interpolation=cv2.INTER_AREA), np.uint8)


def recoloured(random: np.random.Generator, picture: Pictures) -> Pictures:
    """A picture with its hues turned and its contrast and colourfulness changed, in CIE Lab."""
    lab = np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab))
    angle = random.uniform(-np.pi, np.pi) * (random.random() < 0.5)
    turn = random.uniform(0.5, 1.5) * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    lab[..., 1:] = lab[..., 1:] @ turn.T.astype(np.float32)
    mean = lab[..., 0].mean()
    lab[..., 0] = (lab[..., 0] - mean) * random.uniform(0.7, 1.3) + mean + random.normal(0, 8)
    lab[..., 0] = np.clip(lab[..., 0], 0, 100)
    rgb = np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1)
    return (rgb * 255 + 0.5).astype(np.uint8)


def energy_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two samples [N,S] and [M,S]; 0 = one distribution."""

    def within(sample: Tensor) -> Tensor:
        count = len(sample)
        return torch.cdist(sample, sample).sum() / (count * (count - 1))

    return 2 * torch.cdist(found, wanted).mean() - within(found) - within(wanted)


def train_mapping(
    encoder: StyleEncoder,
    catalogue: Tensor,
    paintings: Sequence[Pictures],
    *,
    seed: int,
    codes: int = 4096,
    steps: int = 1500,
) -> tuple[Mapping, float]:
    """Train a mapping network for an encoder.

    Args:
        catalogue: codes [K,S] of the styles that a pack lists.
        paintings: pictures [H,W,3] of any size, 64 pixels a side at least.
        seed: of everything random here.

    Returns:
        The network, and its energy distance to codes that it was not trained on, over the mean
        distance between two of these: 0 = alike.
    """
    generator = torch.Generator().manual_seed(seed)
    read = read_codes(encoder, paintings, codes, seed)
    held = len(read) // 8
    known = torch.cat([read[held:], catalogue.detach().repeat(held // len(catalogue) + 1, 1)])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mapping = Mapping(catalogue.shape[1])
    optimizer = torch.optim.Adam(mapping.parameters(), 1e-3, betas=(0.5, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        latent = torch.randn(BATCH, LATENT_SIZE, generator=generator)
        loss = energy_distance(mapping(latent), _mixed(known, generator))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        latent = torch.randn(held, LATENT_SIZE, generator=generator)
        distance = energy_distance(mapping(latent), _mixed(read[:held], generator, held))
        apart = torch.cdist(read[:held], read[:held]).mean()
    return mapping, float(distance / apart)


def _mixed(codes: Tensor, generator: torch.Generator, count: int = BATCH) -> Tensor:
    """`count` of the codes, `MIXED` of them mixes of two."""
    first, second = (
        codes[torch.randint(len(codes), (count,), generator=generator)] for _ in range(2)
    )
    share = (torch.rand(count, 1, generator=generator) - 0.5) * WIDEST + 0.5
    mixes = torch.rand(count, 1, generator=generator) < MIXED
    return torch.where(mixes, torch.lerp(first, second, share), first)
