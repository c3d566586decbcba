"""What the style term compares with."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from streamfx.training.color import rgb_luma
from streamfx.training.goals import Goals, goals_of_styles, look_at
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
def goals(features: ContentNetwork) -> Goals:
    return goals_of_styles(features, [[texture(0, 1)], [texture(1, 6), texture(2, 6)]])


def distance(
    goals: Goals, features: ContentNetwork, picture: np.ndarray, style: int, in_grey: bool
) -> float:
    wanted = goals.rows(torch.tensor([style]))
    rgb = wanted.grey(tensor(picture)) if in_grey else tensor(picture)
    return wanted.distance(features(rgb), in_grey).item()


@pytest.mark.parametrize("in_grey", [False, True])
def test_a_picture_like_the_painting_is_near_and_another_is_not(
    goals: Goals, features: ContentNetwork, in_grey: bool
) -> None:
    assert distance(goals, features, texture(0, 1), 0, in_grey) < 0.02
    assert distance(goals, features, texture(7, 1), 0, in_grey) < 0.1
    assert distance(goals, features, texture(7, 6), 0, in_grey) > 0.5
    assert distance(goals, features, texture(7, 6), 1, in_grey) < 0.1


def test_contrast_and_tint_count_in_colour_alone(goals: Goals, features: ContentNetwork) -> None:
    dull = (texture(0, 1) / 3 + (90, 60, 20)).astype(np.uint8)
    assert distance(goals, features, dull, 0, in_grey=True) < 0.1
    assert distance(goals, features, dull, 0, in_grey=False) > 0.3
    grey = goals.rows(torch.tensor([0])).grey(tensor(dull))
    wanted = rgb_luma(tensor(texture(0, 1)))
    assert grey.mean().item() == pytest.approx(wanted.mean().item(), abs=0.01)
    assert grey.std().item() == pytest.approx(wanted.std().item(), abs=0.01)
    assert (grey[:, :1] == grey).all()


def test_paintings_are_seen_at_one_size(features: ContentNetwork) -> None:
    painting = texture(3, 2)
    large = cv2.resize(painting, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    both = goals_of_styles(features, [[painting], [large]])
    torch.testing.assert_close(both.means[0], both.means[1], atol=0.1, rtol=0.1)


def test_an_invented_style_takes_its_place_among_the_others(
    goals: Goals, features: ContentNetwork
) -> None:
    painting = tensor(texture(5, 3))
    styles = torch.tensor([0, -1, 1])
    others = look_at(features, torch.cat([painting] * 3))
    mixed = goals.rows(styles).replaced(styles < 0, others)
    assert mixed.rows(torch.tensor([1])).distance(features(painting), in_grey=False) < 1e-3
    for place, style in ((0, 0), (2, 1)):
        assert torch.equal(mixed.means[place], goals.means[style])
