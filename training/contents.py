"""What restyling is learnt on: a user's pictures, a film, or scenes that the program draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from streamfx.demo import draw
from streamfx.errors import InputError
from streamfx.training.abstraction import Picture
from streamfx.training.celeba import is_celeba, select
from streamfx.training.clips import frames_from
from streamfx.training.teacher import read_picture, square

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
FEWEST = 2
_SCENES = 40
_SCENE_SECONDS = 1.7  # between two of them
Pictures = NDArray[np.uint8]
Crop = Callable[[Picture, int], Picture]


def read_contents(
    source: Path | None, most: int, side: int, *, attributes: str = "", crop: Crop = square
) -> Pictures:
    """Square content pictures, uint8 [P,side,side,3].

    Args:
        source: a folder of pictures, or a film, of which frames are taken evenly; None = views
            of the program's own scene.
        most: how many, at most.
        side: pixels.
        attributes: see `list_pictures`.
        crop: makes a square [side,side,3] of a picture [H,W,3], float in 0..1.

    Raises:
        InputError: it is neither, or too little of it can be read.
    """
    if source is None:
        return _scenes(min(most, _SCENES), side)
    if source.is_dir():
        pictures = _of_folder(list_pictures(source, attributes), most, side, crop)
    elif source.is_file():
        pictures = _of_film(source, most, side, crop)
    else:
        raise InputError(f"there is no folder or film {source} to learn restyling on")
    if len(pictures) < FEWEST:
        raise InputError(f"{source} holds {len(pictures)} picture; {FEWEST} are the least")
    return pictures


def list_pictures(folder: Path, attributes: str = "") -> list[Path]:
    """The pictures in a folder, by name.

    Args:
        attributes: in the layout of CelebA, those that a picture must have (see
            `streamfx.training.celeba.select`).

    Raises:
        InputError: no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of pictures")
    if attributes or is_celeba(folder):
        return select(folder, attributes)
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no pictures (.jpg, .png, .webp, .bmp, .tiff)")
    return paths


def _of_folder(paths: list[Path], most: int, side: int, crop: Crop) -> Pictures:
    if len(paths) > most:
        paths = [paths[i * len(paths) // most] for i in range(most)]
    try:
        return np.stack([_to_bytes(crop(read_picture(path), side)) for path in paths])
    except ValueError as error:
        raise InputError(f"{error}; take it out of the folder or replace it") from None


def _of_film(path: Path, most: int, side: int, crop: Crop) -> Pictures:
    found = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, length = container.start_time or 0, container.duration or 0
            for index in range(most):
                seconds = (start + length * index / most) / av.time_base
                frame = next(frames_from(container, seconds), None)
                if frame is not None:
                    rgb = frame.to_ndarray(format="rgb24") / np.float32(255)
                    found.append(_to_bytes(crop(np.asarray(rgb, np.float32), side)))
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path} is no film that can be read: {error}") from None
    # A short film gives the same frame again and again.
    distinct = {picture.tobytes(): picture for picture in found}
    return np.stack(list(distinct.values())) if distinct else np.empty((0, side, side, 3), np.uint8)


def _scenes(count: int, side: int) -> Pictures:
    return np.stack([draw(index * _SCENE_SECONDS, side, side) for index in range(count)])


def _to_bytes(picture: NDArray[np.float32]) -> Pictures:
    return (picture * 255 + 0.5).astype(np.uint8)
