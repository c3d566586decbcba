"""Explorations that go on from sheet to sheet, and styles that are kept, through the command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import packs
from streamfx.cli.styles import app
from streamfx.errors import InputError
from streamfx.exploration import Search
from streamfx.expressions import parse_expression, resolve
from streamfx.saved import forget_style, open_mine, save_style
from streamfx.styles import Pack, find_pack
from streamfx.stylizer import Stylizer

RUNNER = CliRunner()


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.setenv("STREAMFX_PACKS", str(tmp_path / "packs"))
    return packs.tiny_pack(tmp_path)


def run(*words: object) -> str:
    result = RUNNER.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_keep_and_more(pack: Pack, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    first = run("explore", "--pack", pack.path, "--like", "great-wave", "--seed", 5, "-o", sheet)
    shown = Search.read(sheet.with_suffix(".json")).shown
    assert all(f"{number}  {text}\n" in first for number, text in enumerate(shown, start=1))
    drawn = cv2.imread(str(sheet))
    assert drawn is not None and drawn.shape[1] > 3 * 400

    run("explore", "--keep", "2,5", "--more", "-o", sheet)
    after = Search.read(sheet.with_suffix(".json"))
    assert after.generation == 1 and after.kept == (shown[1], shown[4])
    parents = {int(text.partition("~")[2]) for text in after.kept}
    for text in after.shown:
        assert parents & {term.seed for term in parse_expression(text)}
    assert not np.array_equal(cv2.imread(str(sheet)), drawn)

    third = after.keep((3,)).more()  # bred from what was kept last, and that alone
    favourite = {term.seed for term in parse_expression(after.shown[2])}
    assert all(favourite & {t.seed for t in parse_expression(text)} for text in third.shown)

    again = Search(pack=str(pack.path), like="great-wave", seed=5).first().keep((2, 5)).more()
    assert again.shown == after.shown


def test_what_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="draw a first sheet"):
        Search.read(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match="not the notes"):
        Search.read(tmp_path / "a.json")
    with pytest.raises(InputError, match="1 to 9; there is no 10"):
        Search(seed=1).first().keep((3, 10))


def test_a_kept_style_is_drawn_as_it_was(pack: Pack) -> None:
    text = "great-wave~7:0.5+latent:3:0.5"
    output = run("save", "sea", text, "--pack", pack.path, "--title", "My sea")
    assert output.startswith("mine/sea in ")
    mine = find_pack("mine")
    assert mine.style("sea").title == "My sea"
    wanted = resolve(parse_expression(text), pack)
    np.testing.assert_array_equal(resolve(parse_expression("mine/sea"), mine), wanted)
    save_style("more-sea", "mine/sea~4")
    assert [style.name for style in find_pack("mine").styles] == ["sea", "more-sea"]
    assert find_pack("mine").read("thumbnails/sea.jpg") == mine.read("thumbnails/sea.jpg")


def test_forget(pack: Pack) -> None:
    with pytest.raises(InputError, match="nothing was kept"):
        forget_style("sea")
    for name in ("sea", "sky"):
        save_style(name, "latent:1", pack=str(pack.path))
    run("forget", "sea")
    assert [style.name for style in find_pack("mine").styles] == ["sky"]
    assert "thumbnails/sea.jpg" not in find_pack("mine").manifest.members
    with pytest.raises(InputError, match="no style 'sea'"):
        forget_style("sea")
    forget_style("sky")
    assert open_mine() is None


def test_what_cannot_be_kept(pack: Pack, tmp_path: Path) -> None:
    save_style("sea", "latent:1", pack=str(pack.path))
    with pytest.raises(InputError, match="has a style 'sea' already"):
        save_style("sea", "latent:2", pack=str(pack.path))
    save_style("sea", "latent:2", pack=str(pack.path), overwrite=True)
    with pytest.raises(InputError, match="pack of your own"):
        save_style("sea", "latent:1", pack=str(pack.path), into="default")
    with pytest.raises(InputError, match=r"styles\.1\.name"):
        save_style("My Sea", "latent:1", pack=str(pack.path))
    other = tmp_path / "other"
    other.mkdir()
    foreign = packs.tiny_pack(other, packs.graphs.GraphSpec(4, 2, margin=16, stride=16), "other")
    with pytest.raises(InputError, match="other networks"):
        save_style("wave", "great-wave", pack=str(foreign.path))
    assert [style.name for style in find_pack("mine").styles] == ["sea"]


def test_a_kept_style_keeps_its_marks(pack: Pack) -> None:
    """`pack` makes the folder of packs an empty one; the style is of the shipped pack."""
    save_style("sea", "great-wave~4", pack="default")
    save_style("night", "starry-night", pack="default")
    forget_style("sea")
    kept = find_pack("mine").style("night").brushwork
    shipped = find_pack("default").style("starry-night").brushwork
    assert kept is not None and shipped is not None
    assert kept.amount == pytest.approx(shipped.amount, rel=0.02)
    flat = np.full((180, 320, 3), 120, np.uint8)
    deviations = []
    for expression in ("mine/night", "default/starry-night"):
        with Stylizer(expression) as stylizer:
            deviations.append(float(stylizer.picture(flat).mean(-1)[20:-20, 20:-20].std()))
    assert deviations[0] == pytest.approx(deviations[1], rel=0.15)
    assert deviations[1] > 4, "it has marks on a smooth picture"
