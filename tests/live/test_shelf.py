"""The shelf of styles: a pack's, and pictures that are added while the program runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import packs
from streamfx.errors import InputError
from streamfx.live import StyleShelf
from streamfx.styles import default_pack

CATALOGUE = ("great-wave", "starry-night", "the-harvesters")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> object:
    return packs.tiny_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def shelf(pack: object) -> StyleShelf:
    return StyleShelf(pack, most_pictures=3)  # type: ignore[arg-type]


def flat(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.full((20, 30, 3), (red, green, blue), np.uint8)


def test_the_catalogue(shelf: StyleShelf) -> None:
    assert shelf.names() == CATALOGUE
    style = shelf.styles()[0]
    assert (style.title, style.author, style.year) == ("Great Wave", "A. Painter", "1831")
    assert (style.kind, style.licence) == ("catalogue", "CC0-1.0")
    np.testing.assert_allclose(shelf.resolve("great-wave:3+starry-night"), [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(shelf.resolve("tiny/great-wave"), [1, 0, 0, 0])
    assert shelf.resolve("great-wave").dtype == np.float32


def test_a_picture_becomes_a_style(shelf: StyleShelf) -> None:
    style = shelf.add_picture(flat(255, 0, 51), "  My   holiday ")
    assert style.name.startswith("picture-")
    assert len(style.name) == len("picture-") + 6
    assert (style.title, style.kind) == ("My holiday", "picture")
    assert shelf.names() == (*CATALOGUE, style.name)
    np.testing.assert_allclose(shelf.resolve(style.name), [1, 0, 0.2, 0], atol=1e-4)
    mixed = shelf.resolve(f"{style.name}+starry-night")
    np.testing.assert_allclose(mixed, [0.5, 0.5, 0.1, 0], atol=1e-4)
    assert shelf.add_picture(flat(255, 0, 51), "again") == style
    assert shelf.add_picture(flat(255, 0, 51).reshape(30, 20, 3), "") != style
    shelf.remove(style.name)
    with pytest.raises(InputError, match=r"no style 'picture-"):
        shelf.resolve(style.name)
    with pytest.raises(InputError, match="no added style is called 'great-wave'"):
        shelf.remove("great-wave")


def test_of_many_pictures_the_least_used_go(shelf: StyleShelf) -> None:
    names = [shelf.add_picture(flat(n, 0, 0), str(n)).name for n in range(3)]
    shelf.resolve(names[0])
    fourth = shelf.add_picture(flat(9, 9, 9), "new").name
    assert shelf.names() == (*CATALOGUE, names[2], names[0], fourth)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("image:/etc/hostname", "not taken here"),
        ("great-wave+image:x.png", "not taken here"),
        ("great-wvae", "did you mean great-wave"),
        ("other/great-wave", "'other' is not in use"),
        ("", "a style is missing"),
        ("great-wave:0", "all 0"),
    ],
)
def test_expressions_that_cannot_be(shelf: StyleShelf, expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shelf.resolve(expression)


def test_thumbnails_are_jpeg(shelf: StyleShelf) -> None:
    def picture(name: str) -> NDArray[np.uint8]:
        data = shelf.thumbnail(name)
        assert data.startswith(b"\xff\xd8\xff")
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded

    assert picture("great-wave").shape == (8, 8, 3)
    dark, bright = (shelf.add_picture(flat(red, 0, 0), "").name for red in (0, 255))
    assert picture(dark).shape == (180, 320, 3)
    assert picture(bright).mean() > picture(dark).mean() + 20
    with pytest.raises(InputError, match="no style 'nobody'"):
        shelf.thumbnail("nobody")


def test_the_shipped_pack_has_its_thumbnails() -> None:
    shelf = StyleShelf()
    assert shelf.pack.path == default_pack().path
    for name in shelf.names():
        assert shelf.thumbnail(name).startswith(b"\xff\xd8\xff")


def test_many_threads(shelf: StyleShelf) -> None:
    def work(n: int) -> None:
        name = shelf.add_picture(flat(n % 5, 0, 0), "").name
        shelf.resolve("great-wave")
        if name in shelf.names():
            shelf.thumbnail(name if n % 7 == 0 else "great-wave")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    assert len(shelf.names()) == 6


def test_there_must_be_a_pack(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        StyleShelf(tmp_path / "none.stylepack")
