"""Sizes and times that a user types."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.cli.report import seconds
from streamfx.errors import InputError
from streamfx.media.sizes import Shape, WantedSize

sides = st.integers(8, 4096).map(lambda side: 2 * side)


@given(sides, sides)
def test_a_size_is_read_as_it_is_written(width: int, height: int) -> None:
    shape = WantedSize.parse(f"{width}x{height}").of(Shape(640, 360))
    assert (shape.width, shape.height) == (width, height)


@given(st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        shape = WantedSize.parse(text).of(Shape(640, 360))
    except InputError:
        return
    assert shape.width % 2 == shape.height % 2 == 0


@pytest.mark.parametrize(
    "text", ["", "720", "721p", "0x0", "8x8", "1280x", "9000p", "-2x2", "2e3p"]
)
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InputError, match="a size is like 1280x720"):
        WantedSize.parse(text)


@given(sides, sides, sides)
def test_the_short_side_keeps_the_shape(width: int, height: int, wanted: int) -> None:
    shape = WantedSize.parse(f"{wanted}p").of(Shape(width, height))
    assert min(shape.width, shape.height) == wanted
    assert abs(shape.width - width * wanted / min(width, height)) <= 1
    # One pixel of rounding is more than a hundredth only in small pictures.
    assert abs(shape.sample_aspect_ratio - 1) <= Fraction(1, 8)


def test_a_stretched_picture_keeps_its_displayed_shape() -> None:
    dvd = Shape(720, 576, Fraction(64, 45))
    assert WantedSize.parse("1024x576").of(dvd) == Shape(1024, 576)
    assert WantedSize.parse("360x288").of(dvd) == Shape(360, 288, Fraction(64, 45))
    assert dvd.square_pixels() == Shape(1024, 576)


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1.5", 1.5), ("1:30", 90), ("0:01:30.25", 90.25), ("2:0:0", 7200)],
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "1:", "inf", "1e9", "٣"])
def test_bad_times(text: str) -> None:
    with pytest.raises(InputError, match="a time is like"):
        seconds(text)
