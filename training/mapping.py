"""The mapping network: from a latent z to style codes that are unlike each other and well drawn.

Candidates are what the style encoder reads from the run's paintings, cut and recoloured in many
ways, and mixes of these. Those that the generator draws badly are left out, and from the rest
codes are chosen that lie far from each other, as codes and in what is seen (`spread`). The
first of them are the styles of the first numbers. For every other number the network learns the
distribution of the chosen ones and their mixes by the energy distance (Székely and Rizzo, "Energy
statistics", 2013; for generators: Bellemare et al., "The Cramer Distance", 2017): unlike an
adversary it has an unbiased gradient, and what it punishes first is lack of variety.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamfx.latents import LATENT_SIZE, draw_latent
from streamfx.training.networks import StyleEncoder, act
from streamfx.training.spread import Looks, Sight, Values, farthest_first, nearest

ENCODER_SIDE = 256
BATCH = 256
MIXED = 0.5  # share of the codes that are mixes of two
WIDEST = 2.0  # candidates lie up to half their ends' distance beyond them: sight says what is sound
PLACED = 64  # the first numbers, whose styles are chosen one by one
CHOSEN = 256  # codes whose distribution the other numbers have

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


def choose_codes(
    read: Tensor, catalogue: Tensor, generator: torch.Generator, sight: Sight | None = None
) -> Tensor:
    """Codes [N,S], N at most `CHOSEN`, in an order in which any first few lie far apart.

    How far two lie apart is the smaller of their distance as codes and as what is seen, each in
    units of the median distance of the listed styles to their nearest.

    Args:
        read: codes [M,S] that the encoder read.
        catalogue: codes [K,S] of the listed styles, which also say what is drawn well.
        generator: of the mixes.
        sight: what codes look like; None = all are sound, and codes alone count.
    """
    known = torch.cat([catalogue, read])
    listed = len(catalogue)
    if sight is None:
        candidates = torch.cat([known, mixed(known, generator, len(read), 1.0, WIDEST)])
        return candidates[farthest_first(_apart(candidates, listed), CHOSEN)]
    looks = sight(known)
    models = looks[:listed]
    known, looks = _sound(known, looks, models)
    more = mixed(known, generator, len(read), 1.0, WIDEST)
    more, more_looks = _sound(more, sight(more), models)
    candidates = torch.cat([known, more])
    seen = _in_neighbours((looks + more_looks).distances(), listed)
    return candidates[farthest_first(np.minimum(_apart(candidates, listed), seen), CHOSEN)]


def _sound(codes: Tensor, looks: Looks, models: Looks) -> tuple[Tensor, Looks]:
    sound = looks.sound(models)
    return codes[torch.from_numpy(sound)], looks[sound]


def _apart(codes: Tensor, listed: int) -> Values:
    return _in_neighbours(torch.cdist(codes, codes).double().numpy(), listed)


def _in_neighbours(distances: Values, listed: int) -> Values:
    """Distances in units of those of the first `listed` to their nearest, or where that is one
    alone, of all."""
    models = listed if listed > 1 else len(distances)
    unit = float(np.median(nearest(distances[:models, :models])))
    return np.asarray(distances / max(unit, 1e-6))


def train_mapping(
    encoder: StyleEncoder,
    catalogue: Tensor,
    paintings: Sequence[Pictures],
    *,
    seed: int,
    sight: Sight | None = None,
    codes: int = 1536,
    steps: int = 1500,
) -> tuple[Mapping, float]:
    """Train a mapping network for an encoder.

    Args:
        catalogue: codes [K,S] of the styles that a pack lists.
        paintings: pictures [H,W,3] of any size, 64 pixels a side at least.
        seed: of everything random here.
        sight: what the generator makes of codes; None = codes alone count.
        codes: how many are read and how many are mixed, to choose from.

    Returns:
        The network, and the energy distance of its codes to the distribution that they should
        have, over the mean distance between two of these: 0 = alike.
    """
    generator = torch.Generator().manual_seed(seed)
    read = read_codes(encoder, paintings, codes, seed)
    chosen = choose_codes(read, catalogue.detach(), generator, sight)
    placed = chosen[:PLACED]
    numbers = torch.from_numpy(np.stack([draw_latent(number) for number in range(len(placed))]))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mapping = Mapping(catalogue.shape[1])
    optimizer = torch.optim.Adam(mapping.parameters(), 2e-3, betas=(0.5, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        latent = torch.randn(BATCH, LATENT_SIZE, generator=generator)
        made = mapping(torch.cat([latent, numbers]))
        loss = energy_distance(made[:BATCH], mixed(chosen, generator, BATCH))
        loss = loss + (made[BATCH:] - placed).norm(dim=1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        latent = torch.randn(codes, LATENT_SIZE, generator=generator)
        wanted = mixed(chosen, generator, codes)
        distance = energy_distance(mapping(latent), wanted)
        apart = torch.cdist(wanted, wanted).mean()
    return mapping, float(distance / apart)


def mixed(
    codes: Tensor,
    generator: torch.Generator,
    count: int,
    share: float = MIXED,
    widest: float = 1.0,
) -> Tensor:
    """`count` of the codes, a share of them mixes of two.

    Args:
        widest: how long the line is on which mixes lie, in units of their ends' distance and
            centred between them: 1 = between the ends.
    """
    first, second = (
        codes[torch.randint(len(codes), (count,), generator=generator)] for _ in range(2)
    )
    place = (torch.rand(count, 1, generator=generator) - 0.5) * widest + 0.5
    mixes = torch.rand(count, 1, generator=generator) < share
    return torch.where(mixes, torch.lerp(first, second, place), first)
