"""Places on the canvas: where a picture is hung, and how a texture lies on what moves."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from streamfx.canvas import carry, hang, lay
from streamfx.flow import Floats, Luma
from streamfx.motion import just_seen, motion_between, reduce_luma

SIZE = (360, 640)


def world() -> Luma:
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (SIZE[0] + 40, SIZE[1] + 60)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 6) * 4 - 380, 0, 255).astype(np.uint8)


def canvas() -> Floats:
    """A texture that tiles, twice each way."""
    noise = np.random.default_rng(2).standard_normal(SIZE).astype(np.float32)
    smooth = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), 1.5)
    tile = smooth[SIZE[0] : 2 * SIZE[0], SIZE[1] : 2 * SIZE[1]]
    return np.tile(tile, (2, 2))


@pytest.mark.parametrize(("x", "y"), [(7, 0), (0, 11), (16, 5)])
def test_a_scene_is_hung_by_the_same_corner_wherever_it_is_seen(x: int, y: int) -> None:
    views = [world()[b : b + SIZE[0], a : a + SIZE[1]] for a, b in ((0, 0), (x, y))]
    first, second = (lay(canvas(), hang(view), SIZE) for view in views)
    inner = first[8 + y : -8, 8 + x : -8]
    np.testing.assert_allclose(inner, second[8 : -8 - y, 8 : -8 - x], atol=1e-2)


@pytest.mark.parametrize("size", [(16, 16), (16, 2000), (17, 31)])
def test_any_frame_can_be_hung(size: tuple[int, int]) -> None:
    places = hang(np.full(size, 90, np.uint8))
    assert places.shape == (2, 180, 320)
    assert np.isfinite(places).all()


def test_a_texture_keeps_to_what_moves() -> None:
    frames = [world()[:360, x : x + 640] for x in range(0, 48, 6)]
    hung = places = hang(frames[0])
    first = lay(canvas(), places, SIZE)
    known = just_seen()
    for earlier, later in pairwise(map(reduce_luma, frames)):
        motion = motion_between(earlier, later, SIZE, known)
        known, places = motion.known, carry(places, motion, hung)
    last = lay(canvas(), places, SIZE)
    moved, here = first[40:-40, 42 + 40 : -40], last[40:-40, 40 : -40 - 42]
    assert np.corrcoef(moved.ravel(), here.ravel())[0, 1] > 0.9
