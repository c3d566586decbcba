"""Contact sheets: pictures in labelled rows and columns, and the file they go to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.files import write_file

RGB = NDArray[np.uint8]

_GAP = 6
_FONT, _SIZE, _PAPER, _INK = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 250, (30, 30, 30)
_LINE = 22
_SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})


def contact_sheet(
    rows: Sequence[Sequence[RGB]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    width: int = 320,
) -> RGB:
    """Draw a table of pictures.

    Args:
        rows: uint8 RGB [H, W, 3] pictures of any sizes; every row has a picture per column.
        row_labels, column_labels: what stands beside the rows and above the columns.
        width: of a picture on the sheet, in pixels; a row is as high as its highest picture.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        ValueError: pictures and labels do not fit each other.
    """
    if len(rows) != len(row_labels) or any(len(row) != len(column_labels) for row in rows):
        raise ValueError("a sheet needs a label for every row and a picture for every column")
    gutter = max((_text_width(label) for label in row_labels), default=0) + 2 * _GAP
    bands = [_band(_headings(column_labels, width), "", gutter)]
    for row, label in zip(rows, row_labels, strict=True):
        bands.append(_band([_fit(picture, width) for picture in row], label, gutter))
    return np.concatenate(bands)


def picture_grid(pictures: Mapping[str, RGB], columns: int = 4, width: int = 320) -> RGB:
    """Draw pictures in reading order, each under its name.

    Args:
        pictures: name -> uint8 RGB [H, W, 3] of any size; at least one.
        columns: how many stand side by side at most.
        width: of a picture on the sheet, in pixels.

    Returns:
        uint8 RGB [H, W, 3].
    """
    names = list(pictures)
    columns = min(columns, len(names))
    bands = []
    for start in range(0, len(names), columns):
        row = names[start : start + columns]
        cells = [_fit(pictures[name], width) for name in row]
        blanks = [_paper(1, width)] * (columns - len(row))
        bands.append(_band(_headings([*row, *[""] * len(blanks)], width), "", _GAP))
        bands.append(_band([*cells, *blanks], "", _GAP))
    return np.concatenate(bands)


def write_picture(path: Path, picture: RGB) -> None:
    """Write uint8 RGB [H, W, 3] as PNG or JPEG, by the suffix, whole or not at all.

    Raises:
        InputError: the suffix is another one.
        StreamFXError: it cannot be written there.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"cannot write a picture as {path.name!r}; end its name in .png or .jpg")
    _, data = cv2.imencode(path.suffix, np.ascontiguousarray(picture[:, :, ::-1]))
    write_file(path, data.tobytes())


def _fit(picture: RGB, width: int) -> RGB:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    method = cv2.INTER_AREA if picture.shape[1] > width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _headings(labels: Sequence[str], width: int) -> list[RGB]:
    return [_write(_paper(_LINE, width), label, 2) for label in labels]


def _band(pictures: Sequence[RGB], label: str, gutter: int) -> RGB:
    """One row of the sheet, with its label on the left and a gap below."""
    height = max((picture.shape[0] for picture in pictures), default=_LINE)
    cells = [_write(_paper(height + _GAP, gutter), label, _GAP)]
    for picture in pictures:
        cell = _paper(height + _GAP, picture.shape[1] + _GAP)
        cell[: picture.shape[0], : picture.shape[1]] = picture
        cells.append(cell)
    return np.concatenate(cells, axis=1)


def _paper(height: int, width: int) -> RGB:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _plain(label: str) -> str:
    return label.encode("ascii", "replace").decode()  # all that OpenCV's fonts can write


def _text_width(label: str) -> int:
    (width, _), _ = cv2.getTextSize(_plain(label), _FONT, _SIZE, 1)
    return width


def _write(paper: RGB, label: str, left: int) -> RGB:
    cv2.putText(paper, _plain(label), (left, 16), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)
    return paper
