"""What the style term compares with."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from streamfx.training.color import rgb_luma
from streamfx.training.goals import StyleGoals
from streamfx.training.perceptual import ContentNetwork


def texture(seed: int, blur: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.normal(0, 1, (360, 640, 3)), (0, 0), blur)
    return np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


def tensor(picture: np.ndarray) -> Tensor:
    return torch.tensor(picture).movedim(-1, 0)[None] / 255


@pytest.fixture(scope="module")
def features() -> ContentNetwork:
    return ContentNetwork()


@pytest.fixture(scope="module")
def goals(features: ContentNetwork) -> StyleGoals:
    return StyleGoals(features, [[texture(0, 1)], [texture(1, 6), texture(2, 6)]])


def distance(
    goals: StyleGoals, features: ContentNetwork, picture: np.ndarray, style: int, in_grey: bool
) -> float:
    styles = torch.tensor([style])
    rgb = goals.grey(tensor(picture), styles) if in_grey else tensor(picture)
    return goals.distance(features(rgb), styles, in_grey).item()


@pytest.mark.parametrize("in_grey", [False, True])
def test_a_picture_like_the_painting_is_near_and_another_is_not(
    goals: StyleGoals, features: ContentNetwork, in_grey: bool
) -> None:
    assert distance(goals, features, texture(0, 1), 0, in_grey) < 0.02
    assert distance(goals, features, texture(7, 1), 0, in_grey) < 0.1
    assert distance(goals, features, texture(7, 6), 0, in_grey) > 0.5
    assert distance(goals, features, texture(7, 6), 1, in_grey) < 0.1


def test_contrast_and_tint_count_in_colour_alone(
    goals: StyleGoals, features: ContentNetwork
) -> None:
    dull = (texture(0, 1) / 3 + (90, 60, 20)).astype(np.uint8)
    assert distance(goals, features, dull, 0, in_grey=True) < 0.1
    assert distance(goals, features, dull, 0, in_grey=False) > 0.3
    grey = goals.grey(tensor(dull), torch.tensor([0]))
    wanted = rgb_luma(tensor(texture(0, 1)))
    assert grey.mean().item() == pytest.approx(wanted.mean().item(), abs=0.01)
    assert grey.std().item() == pytest.approx(wanted.std().item(), abs=0.01)
    assert (grey[:, :1] == grey).all()


def test_paintings_are_seen_at_one_size(features: ContentNetwork) -> None:
    painting = texture(3, 2)
    large = cv2.resize(painting, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    both = StyleGoals(features, [[painting], [large]])
    torch.testing.assert_close(both.means[0], both.means[1], atol=0.1, rtol=0.1)
