"""Pictures chosen by attribute from a folder in the layout of CelebA.

Liu et al., "Deep Learning Face Attributes in the Wild", 2015: aligned pictures in
`img_align_celeba/`, `list_attr_celeba.txt` (a count, the attributes' names, then a file and 1 or -1
for each) and `list_eval_partition.txt` (a file and 0, 1 or 2). Any folder of pictures in this
layout will do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from streamfx.errors import InputError

PICTURES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITIONS = "list_eval_partition.txt"
PARTS = {"train": "0", "valid": "1", "test": "2"}


def is_celeba(folder: Path) -> bool:
    """Whether a folder has the layout."""
    return (folder / ATTRIBUTES).is_file() and (folder / PICTURES).is_dir()


def select(folder: Path, wanted: str, part: str = "") -> list[Path]:
    """The pictures that have all the attributes wanted, by name.

    Args:
        folder: in the layout of CelebA.
        wanted: names of attributes with commas between them; one after a minus sign must be
            absent: `Smiling,Young,-Eyeglasses`. Case does not count.
        part: "train", "valid" or "test"; all without it.

    Raises:
        InputError: the folder has another layout, a list is damaged, there is no such attribute
            or part, or no picture has them all.
    """
    if not is_celeba(folder):
        raise InputError(
            f"{folder} has no {ATTRIBUTES} and {PICTURES}/; attributes choose among pictures in "
            "the layout of CelebA"
        )
    if part and part not in PARTS:
        raise InputError(f"a part is one of {', '.join(PARTS)}, not {part!r}")
    rows = _rows(folder / ATTRIBUTES)
    next(rows, None)  # how many there are
    names = next(rows, [])
    conditions = _conditions(wanted, names)
    within = _partition(folder / PARTITIONS, PARTS[part]) if part else None
    found = []
    for file, *values in rows:
        if len(values) != len(names):
            raise InputError(
                f"{folder / ATTRIBUTES} is damaged: {file!r} has {len(values)} attributes, "
                f"not {len(names)}"
            )
        if within is not None and file not in within:
            continue
        if all(values[column] == value for column, value in conditions):
            found.append(folder / PICTURES / Path(file).name)
    if not found:
        raise InputError(f"no picture in {folder} is {wanted}" + (f" in {part}" if part else ""))
    return sorted(found)


def _conditions(wanted: str, names: list[str]) -> list[tuple[int, str]]:
    """(column, value) of every attribute."""
    columns = {name.lower(): column for column, name in enumerate(names)}
    conditions = []
    for word in filter(None, (part.strip() for part in wanted.split(","))):
        name = word.removeprefix("-").strip().lower()
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
            known = [names[columns[each]] for each in near] or names
            raise InputError(f"there is no attribute {name!r}; known: {', '.join(known)}")
        conditions.append((columns[name], "-1" if word.startswith("-") else "1"))
    return conditions


def _partition(path: Path, number: str) -> set[str]:
    if not path.is_file():
        raise InputError(f"{path} is missing, which says what belongs to which part")
    return {row[0] for row in _rows(path) if row[1:] == [number]}


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if words := line.split():
                    yield words
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
