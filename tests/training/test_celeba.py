"""Choosing pictures by attribute in the layout of CelebA."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamfx.errors import InputError
from streamfx.training.celeba import select
from streamfx.training.contents import list_pictures, read_contents

ROWS = {
    "000001.jpg": (1, -1, 1),
    "000002.jpg": (-1, -1, 1),
    "000003.jpg": (1, 1, -1),
    "000004.jpg": (1, -1, -1),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "img_align_celeba"
    pictures.mkdir()
    for number, name in enumerate(ROWS):
        level = np.full((218, 178, 3), 50 * number, np.uint8)
        cv2.imwrite(str(pictures / name), level)
    lines = [str(len(ROWS)), "Smiling Eyeglasses Young"]
    lines += [f"{name}  {'  '.join(map(str, values))}" for name, values in ROWS.items()]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"
    (tmp_path / "list_eval_partition.txt").write_text(parts)
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "part", "names"),
    [
        ("Smiling", "", ["000001.jpg", "000003.jpg", "000004.jpg"]),
        ("smiling, -Eyeglasses", "", ["000001.jpg", "000004.jpg"]),
        ("Young", "train", ["000001.jpg", "000002.jpg"]),
        ("", "test", ["000004.jpg"]),
    ],
)
def test_select(folder: Path, wanted: str, part: str, names: list[str]) -> None:
    assert [path.name for path in select(folder, wanted, part)] == names


@pytest.mark.parametrize(
    ("wanted", "part", "message"),
    [
        ("Smilling", "", "no attribute 'smilling'; known: Smiling"),
        ("Smiling", "all", "one of train, valid, test"),
        ("Eyeglasses,Young", "", "no picture in .* is Eyeglasses,Young"),
    ],
)
def test_what_cannot_be_selected(folder: Path, wanted: str, part: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select(folder, wanted, part)


def test_damaged_and_missing_lists(folder: Path, tmp_path: Path) -> None:
    (folder / "list_eval_partition.txt").unlink()
    with pytest.raises(InputError, match="is missing"):
        select(folder, "Young", "train")
    with (folder / "list_attr_celeba.txt").open("a") as file:
        file.write("000005.jpg 1\n")
    with pytest.raises(InputError, match=r"'000005.jpg' has 1 attributes, not 3"):
        select(folder, "Young")
    with pytest.raises(InputError, match="layout of CelebA"):
        select(tmp_path / "img_align_celeba", "Young")


def test_styles_and_contents_by_attribute(folder: Path) -> None:
    names = [path.name for path in list_pictures(folder, "Eyeglasses")]
    assert names == ["000003.jpg"]
    contents = read_contents(folder, 10, 192, attributes="-Eyeglasses")
    assert len(contents) == 3
