"""Scene cuts and gaps: what is one, and what only looks like one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.scene import is_cut, is_gap, sketch

Luma = NDArray[np.uint8]
SIZE = (180, 320)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Luma:
    """A smooth random picture with things in it: bright and dark ellipses on a gradient."""
    rng = np.random.default_rng(seed)
    height, width = size
    low, high = rng.uniform(60, 180, 2)
    ramp = np.linspace(low, high, height)[:, None].repeat(width, 1)
    picture = np.ascontiguousarray(ramp, np.float32)
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(6, 45)), int(rng.integers(6, 45)))
        cv2.ellipse(
            picture, centre, axes, int(rng.integers(180)), 0, 360, float(rng.integers(20, 235)), -1
        )
    return levels(cv2.GaussianBlur(picture, (0, 0), 1.5))


def levels(values: NDArray[Any]) -> Luma:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def cuts(frames: list[Luma]) -> list[int]:
    sketches = [sketch(frame) for frame in frames]
    return [i for i in range(1, len(sketches)) if is_cut(sketches[i - 1], sketches[i])]


def test_another_scene_is_a_cut() -> None:
    frames = [scene(seed) for seed in range(25)]
    assert cuts(frames) == list(range(1, 25))


@pytest.mark.parametrize("size", [(16, 16), (90, 160), (640, 360)])
def test_at_any_size(size: tuple[int, int]) -> None:
    frames = [levels(cv2.resize(scene(seed), size[::-1])) for seed in (1, 1, 2, 2)]
    assert cuts(frames) == [2]


def test_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    still = scene(1).astype(float)
    assert cuts([levels(still + rng.normal(0, 25, SIZE)) for _ in range(20)]) == []
    grey = np.full(SIZE, 128.0)
    assert cuts([levels(grey + rng.normal(0, 25, SIZE)) for _ in range(20)]) == []


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (12, 0), (30, 0), (-30, 0), (0, 18), (20, 10)])
def test_a_pan_is_none(dx: int, dy: int) -> None:
    wide = scene(3, (600, 1000))
    x, y = (0 if dx >= 0 else 600), 0
    frames = [wide[y + dy * i : y + dy * i + 180, x + dx * i : x + dx * i + 320] for i in range(18)]
    assert cuts(frames) == []


@pytest.mark.parametrize("length", [8, 15, 30])
@pytest.mark.parametrize("level", [16, 235])
def test_fades_are_none(level: int, length: int) -> None:
    amount = np.linspace(0, 1, length)[:, None, None]
    fade = [levels(frame) for frame in scene(4) * (1 - amount) + level * amount]
    assert cuts(fade) == []
    assert cuts(fade[::-1]) == []


def test_a_cross_fade_is_none() -> None:
    amount = np.linspace(0, 1, 20)[:, None, None]
    assert cuts([levels(f) for f in scene(4) * (1 - amount) + scene(5) * amount]) == []


def test_a_thing_that_crosses_half_of_the_picture_is_none() -> None:
    frames = []
    for x in range(-160, 320, 40):
        frame = scene(6).copy()
        frame[20:, max(0, x) : max(0, x + 160)] = 30
        frames.append(frame)
    assert cuts(frames) == []


def test_from_black_at_once_is_a_cut() -> None:
    black = np.full(SIZE, 16, np.uint8)
    assert cuts([black, black, scene(7), scene(7), black]) == [2, 4]


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        (1.0, 1.04, False),
        (1.0, 1.0, False),
        (1.0, 1.5, False),
        (1.0, 1.51, True),
        (1.0, 0.99, True),
        (0.0, 3600.0, True),
    ],
)
def test_gaps(before: float, after: float, gap: bool) -> None:
    assert is_gap(before, after) is gap
