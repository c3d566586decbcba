"""Brushwork: swatches, the texture woven of them, and how it lies on what moves."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from streamfx.brushwork import (
    SIDE,
    Brushwork,
    Floats,
    Paint,
    decode_swatches,
    encode_swatches,
    lay,
    weave,
)
from streamfx.errors import InputError
from streamfx.motion import just_seen, motion_between, reduce_luma, seen_here

SIZE = (360, 640)


def swatches(seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    made = np.stack(
        [cv2.GaussianBlur(random.standard_normal((SIDE, SIDE)), (0, 0), 1.5) for _ in range(4)]
    )
    return np.asarray(made / made.std((1, 2), keepdims=True), np.float32)


def test_swatches_survive_being_stored() -> None:
    stored = decode_swatches(encode_swatches(swatches()), "a")
    assert stored.shape == (4, SIDE, SIDE)
    assert np.corrcoef(stored.ravel(), swatches().ravel())[0, 1] > 0.98
    assert stored.std((1, 2)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(SIDE, SIDE + 1), (SIDE + 1, SIDE)])
def test_what_is_no_column_of_squares_is_refused(shape: tuple[int, int]) -> None:
    data = cv2.imencode(".jpg", np.zeros(shape, np.uint8))[1].tobytes()
    with pytest.raises(InputError, match="column of squares"):
        decode_swatches(data, "brushwork/a.jpg")


def test_a_texture_is_even_and_the_same_every_time() -> None:
    texture = weave(swatches(), SIZE, seed=3)
    assert texture.shape == SIZE
    assert np.array_equal(texture, weave(swatches(), SIZE, seed=3))
    blocks = [part.std() for row in np.split(texture, 4) for part in np.split(row, 4, axis=1)]
    assert min(blocks) > 0.6
    assert max(blocks) < 1.4


def test_a_code_has_the_marks_of_its_own_style() -> None:
    paints = [Paint(np.eye(4, dtype=np.float32)[n], swatches(n), 2.0 + n) for n in range(3)]
    brushwork = Brushwork(paints)
    own = brushwork.inputs(paints[1].code, SIZE, None)["texture"][0, 0]
    assert own == pytest.approx(3 * weave(paints[1].swatches, SIZE, seed=1), abs=1e-3)
    between = brushwork.inputs((paints[0].code + paints[1].code) / 2, SIZE, None)["texture"]
    # The third is far, and not nothing.
    assert between.std() == pytest.approx(2.5, rel=0.2)
    assert Brushwork([]).inputs(paints[0].code, SIZE, None) == {}


def test_a_still_picture_leaves_the_texture_as_it_is() -> None:
    texture = weave(swatches(), SIZE)
    laid = lay(texture, seen_here())
    assert np.abs(laid - texture)[8:-8, 8:-8].max() < 0.05


def test_the_texture_moves_with_what_is_seen() -> None:
    random = np.random.default_rng(1)
    world = random.integers(0, 256, (SIZE[0] + 40, SIZE[1] + 60)).astype(np.float32)
    world = np.asarray(cv2.GaussianBlur(world, (0, 0), 6) * 4 - 380, np.float32)
    shown = np.clip(world, 0, 255).astype(np.uint8)
    texture = weave(swatches(), SIZE)
    known, seen_at = just_seen(), seen_here()
    frames = [reduce_luma(shown[:360, x : x + 640]) for x in range(0, 48, 6)]
    for earlier, later in pairwise(frames):
        motion = motion_between(earlier, later, SIZE, known, seen_at)
        known, seen_at = motion.known, motion.seen_at
    laid = lay(texture, seen_at)
    moved = texture[40:-40, 42 + 40 : -40]
    here = laid[40:-40, 40 : -40 - 42]
    assert np.corrcoef(moved.ravel(), here.ravel())[0, 1] > 0.8
