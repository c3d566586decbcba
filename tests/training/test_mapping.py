"""Latent styles: how far apart they look, and how they are placed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamfx.demo import draw
from streamfx.latents import draw_latent
from streamfx.training.mapping import PLACED, choose_codes, train_mapping
from streamfx.training.networks import WIDTHS, Generator, StyleEncoder
from streamfx.training.spread import Looks, Sight, farthest_first, nearest

RGB = NDArray[np.uint8]
SCENE = draw(2.0, 128, 96)


def distance(first: RGB, second: RGB) -> float:
    return float(Looks.of([[first], [second]]).distances()[0, 1])


def test_seen_distance() -> None:
    lab = cv2.cvtColor(np.full((64, 64, 3), 128, np.uint8).astype(np.float32) / 255,
                       cv2.COLOR_RGB2Lab)  # fmt: skip
    rows = []
    for light in (40, 50):
        lab[..., 0] = light
        rows.append([(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB) * 255).round().astype(np.uint8)])
    np.testing.assert_allclose(Looks.of(rows).distances(), [[0, 10], [10, 0]], atol=0.3)

    assert distance(SCENE, SCENE) == 0
    smooth = cv2.GaussianBlur(SCENE, (0, 0), 2)
    assert distance(SCENE, smooth) > 1  # nothing but marks are missing
    mirrored = np.ascontiguousarray(SCENE[:, ::-1])
    assert distance(SCENE, mirrored) < 0.2  # what is shown where is no part of the style


def test_what_is_broken_is_not_sound() -> None:
    neon = SCENE.copy()
    neon[..., 1] = 255
    broken = [
        np.zeros_like(SCENE),
        np.full_like(SCENE, 255),
        np.full_like(SCENE, 128),
        neon,
        cv2.GaussianBlur(SCENE, (0, 0), 3),
        np.where(SCENE > 128, 255, 0).astype(np.uint8),
    ]
    tinted = cv2.addWeighted(SCENE, 0.8, np.full_like(SCENE, (150, 120, 90)), 0.2, 0)
    looks = Looks.of([[each] for each in (SCENE, tinted, *broken)])
    assert looks.sound(looks[:2]).tolist() == [True, True] + [False] * len(broken)
    # Bad on one frame is bad.
    mixed = Looks.of([[SCENE, SCENE], [SCENE, neon]])
    assert mixed.sound(mixed[:1]).tolist() == [True, False]


def test_farthest_first() -> None:
    points = np.random.default_rng(1).random((200, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    order = farthest_first(apart, 50)
    assert len(set(order)) == 50
    least = [nearest(apart[np.ix_(order[:n], order[:n])]).min() for n in range(2, 50)]
    assert least == sorted(least, reverse=True)
    by_chance = np.median([nearest(apart[i : i + 24, i : i + 24]).min() for i in range(0, 176, 8)])
    assert least[22] > 3 * by_chance
    assert sorted(farthest_first(apart[:5, :5], 50)) == [0, 1, 2, 3, 4]


def test_sight_draws_codes_as_the_generator_does() -> None:
    torch.manual_seed(1)
    generator = Generator(WIDTHS["small"]).eval()
    with torch.no_grad():
        generator.exit.weight.mul_(20)
    contents = np.stack([draw(float(second), 160, 160) for second in range(5)])
    codes = torch.randn(40, 64)
    looks = Sight(generator, contents)(codes)
    assert looks.statistics.shape == (40, 5, 8) and looks.faults.shape == (40, 5, 5)
    few = Sight(generator, contents)(codes[33:36])
    np.testing.assert_allclose(few.statistics, looks.statistics[33:36], atol=0.5)


@pytest.fixture(scope="module")
def trained() -> tuple[torch.Tensor, torch.nn.Module, float]:
    torch.manual_seed(2)
    encoder = StyleEncoder(8)
    random = np.random.default_rng(3)
    paintings = [
        cv2.resize(random.integers(0, 256, (8, 8, 3), np.uint8), (96, 96)) for _ in range(4)
    ]
    catalogue = torch.stack([encoder(_picture(each)).detach()[0] for each in paintings])
    mapping, left = train_mapping(encoder, catalogue, paintings, seed=1, codes=160, steps=400)
    return catalogue, mapping, left


def _picture(painting: RGB) -> torch.Tensor:
    return torch.from_numpy(cv2.resize(painting, (256, 256))).movedim(-1, 0)[None].float() / 255


def test_the_first_numbers_lie_apart(
    trained: tuple[torch.Tensor, torch.nn.Module, float],
) -> None:
    _, mapping, left = trained
    assert left < 0.1

    def least(numbers: range) -> float:
        with torch.no_grad():
            codes = mapping(torch.from_numpy(np.stack([draw_latent(n) for n in numbers])))
        return float(nearest(torch.cdist(codes, codes).numpy()).min())

    others = np.median([least(range(n, n + 24)) for n in range(PLACED, PLACED + 240, 24)])
    assert least(range(24)) > 1.5 * others
    assert least(range(1, 25)) > 1.5 * others


def test_choosing_leaves_out_what_is_drawn_badly() -> None:
    """Half of the codes are drawn as black frames."""

    class Blind(Sight):
        def __init__(self) -> None:
            pass

        def __call__(self, codes: torch.Tensor) -> Looks:
            return Looks.of(
                [
                    [np.uint8(np.clip(SCENE * (float(c[0]) > 0) + 20 * float(c[1]), 0, 255))]
                    for c in codes
                ]
            )

    generator = torch.Generator().manual_seed(1)
    read = torch.randn(80, 4, generator=generator).clamp(-1, 1)
    catalogue = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]])
    chosen = choose_codes(read, catalogue, generator, Blind())
    assert len(chosen) > 30
    assert bool((chosen[:, 0] > 0).all())
    assert bool((choose_codes(read, catalogue, generator)[:, 0] <= 0).any())
