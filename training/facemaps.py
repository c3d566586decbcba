"""Faces that stay theirs: where they are in the contents, and targets that leave them be."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.training.abstraction import Picture, luma
from streamfx.training.contents import Crop
from streamfx.training.faces import Face, FaceFinder
from streamfx.training.teacher import Palette, square

Pictures = NDArray[np.uint8]

# Landmarks of Face Mesh around what a face is known by.
_FEATURES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),  # right eye
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),  # left eye
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),  # right brow
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),  # left brow
    (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),  # mouth
    (168, 6, 197, 195, 5, 4, 98, 97, 2, 326, 327),  # nose
)
HEAD = 0.4  # weight of a head off its features
_HEAD_REACH = 0.25  # eye distances around the face: its outline, and where the hair begins
_FEATURE_REACH = 0.12  # the same around a feature
_BUST = 8  # eye distances that head and shoulders take up
_ENLARGED = 3  # times, at most, that a crop is
_COLOURS = 0.5  # how far a kept face takes on the colours of the style


def face_maps(contents: Pictures) -> Pictures:
    """How much each pixel of the contents is part of a face: uint8 [P,S,S,1].

    255 at eyes, brows, nose and mouth, 102 on the rest of a head, 0 elsewhere, with soft edges.

    Args:
        contents: [P,S,S,3].

    Raises:
        InputError: no content shows a face.
        StreamFXError: the package with the face networks is missing.
    """
    finder = FaceFinder()
    side = contents.shape[1]
    maps = np.stack([face_map(finder(content), side) for content in contents])
    if not maps.any():
        raise InputError(
            "the recipe keeps faces, but none of the content pictures shows one; give portraits "
            "as --content"
        )
    return maps[..., None]


def face_ovals(contents: Pictures) -> Pictures:
    """Where faces are in the contents [P,S,S,3], from chin to forehead: 255 there and 0 elsewhere,
    uint8 [P,S,S,1].

    Raises:
        StreamFXError: the package with the face networks is missing.
    """
    finder = FaceFinder()
    ovals = np.zeros((*contents.shape[:3], 1), np.uint8)
    for content, oval in zip(contents, ovals, strict=True):
        for face in finder(content):
            oval[_filled(face.landmarks, len(oval)) > 0] = 255
    return ovals


def head_and_shoulders(find: Callable[[Pictures], list[Face]]) -> Crop:
    """A crop for `read_contents`: around the surest face, or the middle where there is none.

    The middle of a standing portrait is a jacket, and a face that is small teaches nothing.

    Args:
        find: a `FaceFinder`; uint8 RGB [H,W,3] -> the faces in it, surest first.
    """

    def crop(picture: Picture, side: int) -> Picture:
        faces = find((picture * 255 + 0.5).astype(np.uint8))
        if faces:
            least = side // _ENLARGED
            edge = min(max(round(_BUST * faces[0].eye_distance), least), *picture.shape[:2])
            middle = faces[0].landmarks.mean(0)[::-1]
            room = np.array(picture.shape[:2]) - edge
            top, left = np.clip(np.rint(middle - edge / 2), 0, room).astype(int)
            picture = picture[top : top + edge, left : left + edge]
        return square(picture, side)

    return crop


def face_map(faces: Iterable[Face], side: int) -> NDArray[np.uint8]:
    """The map [side,side] of a square picture with these faces."""
    total = np.zeros((side, side), np.float32)
    for face in faces:
        head = _widened(_filled(face.landmarks, side), _HEAD_REACH * face.eye_distance)
        features = np.zeros_like(total)
        for indices in _FEATURES:
            np.maximum(features, _filled(face.landmarks[list(indices)], side), out=features)
        features = _widened(features, _FEATURE_REACH * face.eye_distance)
        np.maximum(total, np.maximum(HEAD * head, features), out=total)
    return np.asarray(np.rint(total * 255), np.uint8)


def keep_faces(targets: Pictures, contents: Pictures, faces: Pictures, amount: float) -> Pictures:
    """Targets in which faces have the contents' own lines, light and shade.

    What makes a picture of paint takes away who it is: of the likeness of a face (see
    `streamfx.training.identity`) a target has about half, and in a dark style's light a face
    loses a fifth. In its own light, with colours half way to the style's, it keeps nearly all.

    Args:
        targets, contents: [P,S,S,3] of one style.
        faces: [P,S,S,1], see `face_maps`.
        amount: 0 = the targets as they are, 1 = faces and heads are the contents'.
    """
    kept = np.array(targets)
    for index in np.flatnonzero(faces.any((1, 2, 3))):
        share = np.clip(faces[index] / np.float32(255 * HEAD), 0, 1) * amount
        content = contents[index].astype(np.float32)
        own = Palette([targets[index] / np.float32(255)]).apply(contents[index], _COLOURS)
        lit = np.clip(own + (luma(content) - luma(own.astype(np.float32)))[..., None], 0, 255)
        kept[index] = np.rint(targets[index] + share * (lit - targets[index].astype(np.float32)))
    return kept


def _widened(area: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """The area grown by `reach` pixels, with a soft edge."""
    pixels = max(1, round(reach))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(area, disc), (0, 0), pixels / 3), np.float32)


def _filled(points: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """1.0 inside the convex hull of points [N,2] in pixels, 0 outside: [side,side]."""
    area = np.zeros((side, side), np.float32)
    hull = cv2.convexHull(np.rint(points).astype(np.int32))
    cv2.fillConvexPoly(area, hull, 1.0)
    return area
