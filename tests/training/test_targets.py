"""What is done to targets before and while they are learnt from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from streamfx.training import losses
from streamfx.training.batches import _drawn, _inked
from streamfx.training.recipes import Detail
from streamfx.training.teacher import apply_levels, level_curve


def disk(glow: float) -> np.ndarray:
    """A dark disk on grey, light laid around it: uint8 [160,160,3]."""
    rows, columns = np.mgrid[:160, :160] - 80.0
    radius = np.hypot(rows, columns)
    grey = np.where(radius < 30, 40.0, 150.0)
    grey += glow * np.exp(-(((radius - 50) / 20) ** 2)) * (radius >= 30)
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def test_levels_take_the_glow_away_and_leave_the_rest() -> None:
    content, target = disk(0), disk(80)
    curve = np.arange(256, dtype=np.float32)
    moved = apply_levels(target, content, curve, 0.7)
    ring, wall = (slice(78, 82), slice(26, 36)), (slice(2, 12), slice(2, 12))
    assert target[ring].mean() - 150 > 60
    assert abs(moved[ring].mean() - 150) < 0.5 * (target[ring].mean() - 150)
    assert abs(moved[wall].mean() - 150) < 8
    assert np.array_equal(apply_levels(target, content, curve, 0), target)


def test_levels_keep_contrast_that_the_style_adds() -> None:
    content = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8), (0, 0), 4
    )
    target = np.clip(128 + 3.0 * (content.astype(float) - 128), 0, 255).astype(np.uint8)
    moved = apply_levels(target, content, level_curve(target[None], content[None]), 1.0)
    assert moved.std() > 0.9 * target.std()


@pytest.mark.parametrize(("dark", "light"), [(2.0, 0.0), (0.0, 2.0)])
def test_detail_is_drawn_on_the_side_that_is_asked_for(dark: float, light: float) -> None:
    picture = np.full((1, 32, 32, 3), 128, np.uint8)
    picture[:, 8], picture[:, 24] = 90, 170
    drawn = _drawn(picture, Detail(dark=dark, light=light))[0, ..., 0]
    assert bool(drawn[8].max() < -20) is bool(dark)
    assert bool(drawn[24].min() > 20) is bool(light)


def test_faint_detail_is_not_drawn() -> None:
    random = np.random.default_rng(1)
    wall = (128 + random.integers(-1, 2, (1, 32, 32, 1))).repeat(3, -1).astype(np.uint8)
    drawn = _drawn(wall, Detail(dark=20, light=20))
    assert abs(drawn).mean() < 1


def test_ink_leaves_the_light_as_it_was() -> None:
    random = np.random.default_rng(1)
    target = np.full((1, 128, 128, 3), 150, np.float32)
    drawn = np.where(random.random((1, 128, 128, 1)) < 0.3, -100, 0).astype(np.float32)
    inked = _inked(target, drawn)
    assert inked.mean() == pytest.approx(150, abs=2)
    assert inked.std() > 40


def test_what_is_beyond_black_and_white_counts_a_tenth() -> None:
    pictures = torch.tensor([-1.0, 0.25, 3.0], requires_grad=True)
    seen = losses.shown(pictures)
    torch.testing.assert_close(seen, torch.tensor([-0.1, 0.25, 1.2]))
    (gradient,) = torch.autograd.grad(seen.sum(), pictures)
    torch.testing.assert_close(gradient, torch.tensor([0.1, 1.0, 0.1]))
