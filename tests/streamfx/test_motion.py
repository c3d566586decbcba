"""Motion between two frames, as the graph's `motion` and `trust` inputs want it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.engines.contract import GraphSpec
from streamfx.motion import Motion, motion_between, reduce_luma

LONG = np.ones((180, 320), np.float32)  # all has been in sight for long
SPEC = GraphSpec(style_size=4, state_channels=2, motion=True)


def texture(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 4)
    return np.clip(128 + noise * 400, 0, 255).astype(np.uint8)


def displacement(found: Motion, size: tuple[int, int]) -> NDArray[np.float32]:
    """Pixels from each place to where it was, [H/2, W/2, 2]."""
    height, width = size
    x = (np.arange(width // 2) * 2 + 1) / (width // 2) - 1
    y = (np.arange(height // 2) * 2 + 1) / (height // 2) - 1
    away = found.motion[0] - np.stack(np.meshgrid(x, y), -1)
    return np.asarray(away * np.array([width / 2, height / 2]), np.float32)


@pytest.mark.parametrize(("dx", "dy"), [(8, 0), (0, -8), (-6, 4)])
@pytest.mark.parametrize("size", [(180, 320), (360, 640), (180, 240)])
def test_a_shift_is_found(size: tuple[int, int], dx: int, dy: int) -> None:
    height, width = size
    world = texture(height + 40, width + 40)
    previous = world[20 : 20 + height, 20 : 20 + width]
    # What the current frame shows at p, the last one showed at p + (dx, dy).
    current = world[20 + dy : 20 + dy + height, 20 + dx : 20 + dx + width]
    found = motion_between(reduce_luma(previous), reduce_luma(current), size, LONG)
    shapes = SPEC.input_shapes(height, width)
    for name, array in (("motion", found.motion), ("trust", found.trust)):
        assert array.dtype == np.float32 and array.flags.c_contiguous
        assert array.shape == shapes[name]
    inner = displacement(found, size)[16:-16, 16:-16].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), [dx, dy], atol=0.8)
    assert np.mean(np.abs(inner - np.array([dx, dy])) < 2) > 0.9
    assert np.median(found.trust) > 0.7


def test_motion_and_trust_lie_where_the_things_are() -> None:
    """The right half moves, and a part of the left one is another picture than before."""
    world = texture(180, 400)
    previous = np.ascontiguousarray(world[:, :320])
    current = previous.copy()
    current[:, 160:] = world[:, 168:328]
    current[40:80, 40:80] = 255 - current[40:80, 40:80]
    found = motion_between(reduce_luma(previous), reduce_luma(current), (180, 320), LONG)
    across = displacement(found, (180, 320))[..., 0]
    np.testing.assert_allclose(across[60:85, :70], 0, atol=0.5)
    np.testing.assert_allclose(across[:, 90:150], 8, atol=1)
    trust = found.trust[0, 0]
    assert trust[22:38, 22:38].mean() < 0.3
    assert trust[45:, :70].min() > 0.7
    assert np.mean(trust[:, -3:] < 0.7) > 0.95, "what comes in at the edge was not seen before"


def test_noise_moves_nothing() -> None:
    rng = np.random.default_rng(0)
    still = texture(360, 640)
    noisy = [np.clip(still + rng.normal(0, 4, still.shape), 0, 255).astype(np.uint8) for _ in "ab"]
    found = motion_between(reduce_luma(noisy[0]), reduce_luma(noisy[1]), (360, 640), LONG)
    assert np.abs(displacement(found, (360, 640))).max() < 1e-3
    assert found.trust.min() > 0.7


def test_a_smooth_place_goes_with_what_is_around_it() -> None:
    """A camera pans over a textured wall with a window on a plain sky."""
    world = texture(180, 400)
    world[60:120, 140:220] = 200
    previous, current = (np.ascontiguousarray(world[:, x : x + 320]) for x in (20, 26))
    across = displacement(motion_between(previous, current, (180, 320), LONG), (180, 320))[..., 0]
    assert np.mean(np.abs(across[32:58, 62:98] - 6) < 1) > 0.8
    # A wall that stands does not let it go.
    stood = world[:, 20:340].copy()
    stood[10:30, 10:60] = world[10:30, 40:90]
    found = motion_between(np.ascontiguousarray(world[:, 20:340]), stood, (180, 320), LONG)
    assert np.abs(displacement(found, (180, 320))[32:58, 60:95]).max() < 1e-3


def test_what_a_thing_uncovers_is_not_taken_along() -> None:
    """A thing passes over a plain wall, which looks the same wherever it was."""
    wall = np.full((180, 320), 120, np.uint8)
    thing = texture(60, 60)
    lumas = []
    for left in (100, 112):
        luma = wall.copy()
        luma[60:120, left : left + 60] = thing
        lumas.append(luma)
    found = motion_between(*lumas, (180, 320), LONG)
    across = displacement(found, (180, 320))[..., 0]
    np.testing.assert_allclose(across[34:56, 62:80], -12, atol=1)
    assert np.abs(across[34:56, 30:48]).max() < 0.5, "the wall behind it stands"
    assert found.new[70:110, 102:107].mean() > 0.8, "the wall that it has left is new"


@pytest.mark.parametrize("size", [(16, 16), (16, 2000), (2000, 16)])
def test_the_smallest_and_the_longest_frames(size: tuple[int, int]) -> None:
    luma = reduce_luma(texture(*size))
    found = motion_between(luma, luma, size, LONG)
    assert found.motion.shape == SPEC.input_shapes(*size)["motion"]
    np.testing.assert_allclose(displacement(found, size), 0, atol=1e-2)
