"""Contact sheets, files that appear whole, and `streamfx styles`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import packs
from streamfx.cli import main
from streamfx.errors import InputError, StreamFXError
from streamfx.files import write_file
from streamfx.pictures import read_picture
from streamfx.sheets import contact_sheet, picture_grid, write_picture
from streamfx.styles import write_pack

RED, GREEN = (200, 30, 30), (30, 180, 40)


def plain(color: tuple[int, int, int], height: int = 60, width: int = 80) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def test_pictures_stand_in_their_rows_and_columns() -> None:
    rows = [[plain(RED), plain(GREEN)], [plain(GREEN, 120), plain(RED)]]
    sheet = contact_sheet(rows, ["one", "two"], ["left", "right"], width=40)

    def box(color: tuple[int, int, int]) -> list[tuple[int, int]]:
        """(top, left) of each patch of a colour."""
        found = (np.abs(sheet.astype(int) - color).max(-1) < 3).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=4)
        patches = [s for s in stats[1:] if s[4] > 100]
        assert all(s[2] == 40 for s in patches)
        return sorted((int(s[1]), int(s[0])) for s in patches)

    (red_top, red_left), (red_lower, red_right) = box(RED)
    (green_top, green_right), (green_lower, green_left) = box(GREEN)
    assert (red_top, red_left) == (green_top, green_left)
    assert red_right == green_right > red_left + 40
    assert red_lower == green_lower >= red_top + 30
    assert np.ptp(sheet[:red_top, red_left:]) > 100  # the headings
    assert np.ptp(sheet[red_top:, :red_left]) > 100  # the row labels


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match="label"):
        contact_sheet([[plain(RED)]], ["one", "two"], ["left"])
    with pytest.raises(ValueError, match="column"):
        contact_sheet([[plain(RED)], []], ["one", "two"], ["left"])


def test_a_grid_fills_its_last_row_with_blanks() -> None:
    grid = picture_grid({name: plain(RED) for name in "abcde"}, columns=2, width=40)
    red = (np.abs(grid.astype(int) - RED).max(-1) < 3).astype(np.uint8)
    count, _ = cv2.connectedComponents(red, connectivity=4)
    assert count - 1 == 5


def test_pictures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", plain(RED))
    assert np.array_equal(read_picture(tmp_path / "a.png"), plain(RED))
    with pytest.raises(InputError, match=r"end its name in \.png or \.jpg"):
        write_picture(tmp_path / "a.gif", plain(RED))
    with pytest.raises(StreamFXError, match="cannot write"):
        write_picture(tmp_path / "gone" / "a.png", plain(RED))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    with pytest.raises(StreamFXError, match="cannot write"):
        write_file(tmp_path / "folder", b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder"]


def test_styles_are_listed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = packs.tiny_pack(tmp_path)
    assert run(["styles", "list", "--pack", str(pack.path)]) == 0
    listed = capsys.readouterr().out
    for style in pack.styles:
        assert style.name in listed
    assert run(["styles", "show", "starry-night", "--pack", str(pack.path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["pack"] == "tiny"
    assert shown["title"] == "Starry Night"
    assert shown["code"] == list(pack.style("starry-night").code)
    assert run(["styles", "show", "starry-nite", "--pack", str(pack.path)]) == 2
    assert "did you mean starry-night" in capsys.readouterr().err


def test_sheets_of_thumbnails_and_of_ones_own_picture(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    common = ["styles", "sheet", "--pack", str(pack.path), "-o"]
    assert run([*common, str(tmp_path / "sheet.png")]) == 0
    thumbnails = read_picture(tmp_path / "sheet.png")
    assert (thumbnails < 5).all(-1).sum() > 3 * 320 * 300  # three black squares
    write_picture(tmp_path / "mine.png", plain((90, 90, 90), 64, 96))
    mine = [*common, str(tmp_path / "mine.jpg"), "--picture", str(tmp_path / "mine.png")]
    assert run(mine) == 0
    sheet = read_picture(tmp_path / "mine.jpg").astype(int)
    # The tiny styles add 40 to luma, to blue difference or to red difference.
    cells = [sheet[100, 6 + 326 * column + 160] for column in range(4)]
    assert np.abs(cells[0] - 90).max() < 4
    assert (cells[1] - cells[0]).min() > 30
    assert cells[2][2] - cells[0][2] > 40
    assert cells[3][0] - cells[0][0] > 40


def test_a_pack_without_thumbnails_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = packs.manifest()
    for style in manifest["styles"]:
        style["thumbnail"] = None
    members = {"generator.onnx": packs.members()["generator.onnx"]}
    pack = write_pack(tmp_path / "bare.stylepack", manifest, members)
    assert run(["styles", "sheet", "--pack", str(pack.path), "-o", str(tmp_path / "s.png")]) == 2
    assert "--picture" in capsys.readouterr().err
    assert not (tmp_path / "s.png").exists()


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    code = stopped.value.code or 0
    assert isinstance(code, int)
    return code
