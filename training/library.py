"""The pictures of a run: contents, paintings, and a target for every content in every style.

Targets cost about a second each, so they are kept in a cache folder, one memory-mapped array a
style; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.training.abstraction import luma
from streamfx.training.contents import read_contents
from streamfx.training.exposure import exposed
from streamfx.training.facemaps import face_maps, head_and_shoulders, keep_faces
from streamfx.training.faces import FaceFinder
from streamfx.training.recipes import Detail, Recipe
from streamfx.training.teacher import (
    Palette,
    apply_levels,
    cache_key,
    level_curve,
    read_picture,
    square,
    targets_for_style,
)

PAINTING_SIDE = 448
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Style:
    """One style of a run.

    Attributes:
        name: catalogue name, or the file's stem for an extra picture.
        paintings: uint8 [H,W,3] each, the shorter side `PAINTING_SIDE` or more; one at least.
        targets: uint8 [P,S,S,3]; `targets[i]` belongs to `contents[indices[i]]`.
        indices: [P].
        detail: what its targets get of the contents' fine detail.
        tint: float [3], the paintings' mean colour, less its luma, in levels of 255.
    """

    name: str
    paintings: tuple[Pictures, ...]
    targets: Pictures
    indices: NDArray[np.int64]
    detail: Detail = field(default_factory=Detail)

    @cached_property
    def tint(self) -> NDArray[np.float32]:
        pixels = np.concatenate([painting.reshape(-1, 3) for painting in self.paintings])
        mean = pixels.mean(0, dtype=np.float64).astype(np.float32)
        return np.asarray(mean - luma(mean), np.float32)


@dataclass(frozen=True)
class Library:
    """Everything that batches are drawn from; the first styles are the catalogue.

    Attributes:
        contents: uint8 [P,S,S,3], as the generator sees them (`streamfx.training.exposure`).
        faces: uint8 [P,S,S,1], how much of each of their pixels is face; None where no term of
            the objective asks.
    """

    contents: Pictures
    styles: tuple[Style, ...]
    catalogue: int
    faces: Pictures | None = None


@dataclass(frozen=True)
class Source:
    """What a style of a run is made from.

    Attributes:
        name, paintings, indices: see `Style`.
        paths: the paintings' files.
        targets: where its targets are kept, whether they have been made or not.
    """

    name: str
    paths: list[Path]
    paintings: tuple[Pictures, ...]
    indices: NDArray[np.int64]
    targets: Path


@dataclass(frozen=True)
class Sources:
    """The pictures of a run, read and checked; the first styles are the catalogue."""

    contents: Pictures
    styles: tuple[Source, ...]
    catalogue: int


def read_sources(
    recipe: Recipe, content: Path | None, pictures: Path, cache: Path, *, attributes: str = ""
) -> Sources:
    """Read the pictures that a recipe needs.

    Args:
        content, attributes: see `streamfx.training.contents.read_contents`.
        pictures: folder of the style pictures.
        cache: folder of the targets.

    Raises:
        InputError: a folder or picture is missing or unreadable, or the recipe names no style.
        StreamFXError: what finds faces is not installed, where the recipe asks for faces.
    """
    if not recipe.styles:
        raise InputError(f"the recipe {recipe.name!r} names no style")
    named = {
        name: [pictures / file for file in (entry.picture, *entry.more_pictures)]
        for name, entry in recipe.styles.items()
    }
    extra = {Path(name).stem: [pictures / name] for name in recipe.data.extra_pictures}
    for path in (path for paths in (*named.values(), *extra.values()) for path in paths):
        if not path.is_file():
            raise InputError(f"the recipe's picture {path.name} is not in {pictures}")
    most, side = recipe.data.max_pictures, recipe.teacher.side
    if recipe.codes.steps and recipe.codes.faces:
        FaceFinder()  # Should it be missing, that is said before hours are spent and not after.
    crop = head_and_shoulders(FaceFinder()) if recipe.sees_faces else square
    contents = read_contents(content, most, side, attributes=attributes, crop=crop)
    # Named before they are exposed, whose last bit depends on the number of threads.
    folder = cache / hashlib.sha256(contents.tobytes()).hexdigest()[:16]
    contents = exposed(contents)
    everything = np.arange(len(contents))
    few = everything[:: max(1, len(contents) // recipe.data.extra_contents)]
    styles = []
    for name, paths in {**named, **extra}.items():
        indices = everything if name in named else few[: recipe.data.extra_contents]
        targets = folder / f"{cache_key(paths, recipe.teacher)}-{len(indices)}.npy"
        try:
            paintings = tuple(_painting(read_picture(path)) for path in paths)
        except ValueError as error:
            raise InputError(f"{error}; take it out of the folder or replace it") from None
        styles.append(Source(name, paths, paintings, indices, targets))
    return Sources(contents, tuple(styles), len(named))


def build_library(
    recipe: Recipe,
    sources: Sources,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Library:
    """Make, or find in the cache, every target.

    Args:
        progress: called with a style's name, targets done and targets in all.

    Raises:
        InputError: a picture is unreadable, or no content shows a face where the recipe asks for
            faces.
        StreamFXError: what finds faces is not installed.
    """
    faces = face_maps(sources.contents) if recipe.sees_faces else None
    styles = []
    for source in sources.styles:
        if not source.targets.exists():
            source.targets.parent.mkdir(parents=True, exist_ok=True)
            _make_targets(source, sources.contents[source.indices], recipe, progress)
        targets = np.load(source.targets, mmap_mode="r")
        if faces is not None and recipe.data.own_faces:
            shown = source.indices
            targets = keep_faces(
                targets, sources.contents[shown], faces[shown], recipe.data.own_faces
            )
        entry = recipe.styles.get(source.name)
        own = entry.detail if entry is not None else None
        detail = recipe.data.detail if own is None else own
        styles.append(Style(source.name, source.paintings, targets, source.indices, detail))
    return Library(sources.contents, tuple(styles), sources.catalogue, faces)


def _make_targets(
    source: Source,
    contents: Pictures,
    recipe: Recipe,
    progress: Callable[[str, int, int], None],
) -> None:
    """Make one style's targets; a `.part` file beside the result holds what is done."""
    file = source.targets
    part, count_file = file.with_suffix(".part"), file.with_suffix(".count")
    resumes = part.exists() and count_file.exists()
    mode: Literal["r+", "w+"] = "r+" if resumes else "w+"
    raw = np.memmap(part, np.uint8, mode=mode, shape=contents.shape)
    done = int(count_file.read_text()) if resumes else 0
    made = targets_for_style(source.paths, contents[done:], recipe.teacher)
    for index, target in enumerate(made, start=done):
        raw[index] = target
        raw.flush()
        count_file.write_text(str(index + 1))
        progress(source.name, index + 1, len(contents))
    palette = Palette([read_picture(path) for path in source.paths])
    finished = np.stack([palette.apply(target, recipe.teacher.palette) for target in raw])
    curve = level_curve(finished, contents)
    for target, content in zip(finished, contents, strict=True):
        target[:] = apply_levels(target, content, curve, recipe.teacher.levels)
    temporary = file.with_suffix(".tmp.npy")
    np.save(temporary, finished)
    temporary.replace(file)
    part.unlink()
    count_file.unlink()


def _painting(picture: NDArray[np.float32]) -> Pictures:
    import cv2

    height, width = picture.shape[:2]
    scale = max(1.0, PAINTING_SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    grown = np.clip(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    return (grown * 255 + 0.5).astype(np.uint8)
