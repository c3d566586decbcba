"""Brushwork: swatches, the texture woven of them, and which a code has."""

from __future__ import annotations

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
    weave,
)
from streamfx.canvas import hang, lay
from streamfx.errors import InputError

SIZE = (360, 640)


def swatches(seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    made = np.stack(
        [cv2.GaussianBlur(random.standard_normal((SIDE, SIDE)), (0, 0), 1.5) for _ in range(4)]
    )
    return np.asarray(made / made.std((1, 2), keepdims=True), np.float32)


def three_paints() -> list[Paint]:
    codes = np.eye(4, dtype=np.float32)
    return [Paint(codes[n], encode_swatches(swatches(n)), 2.0 + n) for n in range(3)]


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
    tiled = np.abs(np.diff(np.tile(texture, (2, 2)), axis=1)).mean(0)
    assert tiled[SIZE[1] - 1] < 1.5 * tiled.mean(), "no edge is seen where it is tiled"
    blocks = [part.std() for row in np.split(texture, 4) for part in np.split(row, 4, axis=1)]
    assert min(blocks) > 0.6
    assert max(blocks) < 1.4


def test_a_code_has_the_marks_of_its_own_style() -> None:
    paints = three_paints()
    brushwork = Brushwork(paints)
    places = hang(np.zeros(SIZE, np.uint8))
    own = brushwork.inputs(paints[1].code, SIZE, places)["texture"][0, 0]
    woven = np.tile(3 * weave(paints[1].decoded(), SIZE, seed=1), (2, 2))
    assert own == pytest.approx(lay(woven, places, SIZE), abs=1e-3)
    between = brushwork.inputs((paints[0].code + paints[1].code) / 2, SIZE, places)["texture"]
    # The third is far, and not nothing.
    assert between.std() == pytest.approx(2.5, rel=0.2)
    assert Brushwork([]).inputs(paints[0].code, SIZE, places) == {}


def test_a_style_made_of_others_has_the_marks_of_its_code() -> None:
    paints = three_paints()
    brushwork = Brushwork(paints)
    places = hang(np.zeros(SIZE, np.uint8))
    for code in (paints[2].code, (paints[0].code + paints[2].code) / 2):
        made = brushwork.paint(code)
        assert made is not None
        kept = Brushwork([made]).inputs(code, SIZE, places)["texture"]
        drawn = brushwork.inputs(code, SIZE, places)["texture"]
        assert kept.std() == pytest.approx(drawn.std(), rel=0.1)
    assert Brushwork([]).paint(paints[0].code) is None


def test_a_style_without_marks_takes_none_of_the_others() -> None:
    codes = np.eye(4, dtype=np.float32)
    brushwork = Brushwork(
        [Paint(codes[0], encode_swatches(swatches()), 4.0), Paint(codes[1], b"", 0.0)]
    )
    laid = brushwork.inputs(codes[1], SIZE, hang(np.zeros(SIZE, np.uint8)))["texture"]
    assert np.abs(laid).max() < 0.05
