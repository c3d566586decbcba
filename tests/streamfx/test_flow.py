"""The flow of small frames: how close it comes to a motion that is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamfx.flow import Luma, find_flow


def scene(x: float, y: float) -> Luma:
    """A window of a fixed texture, moved by a part of a pixel."""
    random = np.random.default_rng(0)
    world = cv2.GaussianBlur(random.standard_normal((240, 400)), (0, 0), 3) * 250 + 128
    moved = cv2.warpAffine(
        world,
        np.array([[1.0, 0.0, -40 - x], [0.0, 1.0, -30 - y]]),
        (320, 180),
        flags=cv2.INTER_CUBIC,
    )
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("x", "y"), [(0.3, 0.0), (-0.7, 0.4), (3.5, -2.2), (9.1, 0.6)])
def test_parts_of_a_pixel_are_found(x: float, y: float) -> None:
    flow = find_flow(scene(0, 0), scene(x, y))
    inner = slice(20, -20), slice(30, -30)
    errors = np.hypot(flow.x[inner] - x, flow.y[inner] - y)
    assert np.median(errors) < 0.06
    assert np.mean(errors < 0.3) > 0.95


def test_detail_is_where_the_picture_has_any() -> None:
    luma = scene(0, 0)
    luma[:, 160:] = 90
    detail = find_flow(luma, luma).detail
    assert detail[:, 180:].max() < 0.1
    assert np.median(detail[:, :140]) > 20
