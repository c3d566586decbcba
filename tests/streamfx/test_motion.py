"""Motion between two frames, as the graph's `motion` input wants it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.engines.contract import GraphSpec
from streamfx.motion import motion_between, reduce_luma

SPEC = GraphSpec(style_size=4, state_channels=2, margin=32, stride=16, motion=True)


def texture(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 4)
    return np.clip(128 + noise * 400, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("dx", "dy"), [(8, 0), (0, -8), (-6, 4)])
@pytest.mark.parametrize("size", [(180, 320), (360, 640), (180, 240)])
def test_a_shift_is_found(size: tuple[int, int], dx: int, dy: int) -> None:
    height, width = size
    world = texture(height + 40, width + 40)
    previous = world[20 : 20 + height, 20 : 20 + width]
    # What the current frame shows at p, the last one showed at p + (dx, dy).
    current = world[20 + dy : 20 + dy + height, 20 + dx : 20 + dx + width]
    motion = motion_between(reduce_luma(previous), reduce_luma(current), size, SPEC)
    assert motion.dtype == np.float32
    assert motion.flags.c_contiguous
    assert motion.shape == SPEC.input_shapes(height, width)["motion"]
    inner = motion[0, :, 8 : height // 8, 8 : width // 8].reshape(2, -1)
    np.testing.assert_allclose(np.median(inner, 1), [dx / 8, dy / 8], atol=0.1)
    assert np.mean(np.abs(inner - np.array([[dx / 8], [dy / 8]])) < 0.25) > 0.9


def test_cells_in_the_margin_take_the_motion_of_the_edge() -> None:
    world = texture(220, 360)
    motion = motion_between(
        reduce_luma(world[:180, :320]), reduce_luma(world[4:184, 6:326]), (180, 320), SPEC
    )[0]
    first = SPEC.margin // 8  # the first cell inside the frame
    for outside in range(first - 1):
        np.testing.assert_array_equal(motion[:, outside], motion[:, 0])
        np.testing.assert_array_equal(motion[:, :, outside], motion[:, :, 0])
    np.testing.assert_array_equal(motion[:, :, -1], motion[:, :, -2])
    np.testing.assert_allclose(motion[:, first - 1], motion[:, first], atol=0.5)


def test_cells_lie_where_the_graph_puts_them() -> None:
    """Only the right half moves: the border between the halves stands at the right cell."""
    world = texture(180, 400)
    previous = np.ascontiguousarray(world[:, :320])
    current = previous.copy()
    current[:, 160:] = world[:, 168:328]
    motion = motion_between(reduce_luma(previous), reduce_luma(current), (180, 320), SPEC)
    motion = motion[0, 0, 10:20]
    middle = (SPEC.margin + 160) // 8
    np.testing.assert_allclose(motion[:, middle - 10 : middle - 3], 0, atol=0.2)
    np.testing.assert_allclose(motion[:, middle + 3 : middle + 10], 1, atol=0.2)


@pytest.mark.parametrize("size", [(16, 16), (16, 2000), (2000, 16)])
def test_the_smallest_and_the_longest_frames(size: tuple[int, int]) -> None:
    luma = reduce_luma(texture(*size))
    motion = motion_between(luma, luma, size, SPEC)
    assert motion.shape == SPEC.input_shapes(*size)["motion"]
    np.testing.assert_allclose(motion, 0, atol=0.05)
