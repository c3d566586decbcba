"""The main job with what ships inside: the default pack on a film, seen by another player."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import peers
from streamfx import Stylizer
from streamfx.color import frame_from_rgb
from streamfx.demo import draw, render
from streamfx.styles import default_pack
from streamfx.training.metrics import grid_peak, luma


def ffmpeg(*arguments: object) -> str:
    command = [peers.require("ffmpeg"), "-v", "error", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def frame_times(path: Path) -> list[float]:
    """The times of the pictures as Debian's ffmpeg decodes them."""
    lines = ffmpeg("-i", path, "-map", "0:v", "-f", "framehash", "-enc_time_base", "1/90000", "-")
    rows = [line.split(",") for line in lines.splitlines() if not line.startswith("#")]
    return [int(row[2]) / 90_000 for row in rows]


def test_another_player_finds_every_frame_and_the_same_sound(tmp_path: Path) -> None:
    source, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    render(source, seconds=1.0, width=320, height=180)
    command = [sys.executable, "-m", "streamfx.cli", "process", str(source), "-o", str(output)]
    subprocess.run([*command, "--style", "great-wave"], check=True, timeout=120)
    wanted, found = frame_times(source), frame_times(output)
    assert len(found) == 30
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    sound = ("-map", "0:a", "-c", "copy", "-f", "md5", "-")
    assert ffmpeg("-i", output, *sound) == ffmpeg("-i", source, *sound)


def test_the_default_pack_has_styles_that_differ() -> None:
    pack = default_pack()
    assert len(pack.styles) >= 4
    scene = draw(1.0, 320, 180)
    painted = []
    with Stylizer(pack.styles[0].name) as stylizer:
        for style in pack.styles:
            stylizer.style = style.name
            painted.append(stylizer.picture(scene).astype(int))
    for index, one in enumerate(painted):
        assert np.abs(one - scene).mean() > 10
        for other in painted[:index]:
            assert np.abs(one - other).mean() > 8
        # Light stays light and dark stays dark: the scene is still the scene.
        assert np.corrcoef(one.mean(2).ravel(), scene.mean(2).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("color", [(128, 128, 128), (210, 170, 150), (20, 40, 90)])
def test_flat_pictures_have_marks_and_no_grid(color: tuple[int, int, int]) -> None:
    flat = np.full((256, 256, 3), color, np.uint8)
    with Stylizer("great-wave") as stylizer:
        for style in stylizer.pack.styles:
            stylizer.style = style.name
            painted = stylizer.picture(flat)
            marks = luma(painted)[48:-48, 48:-48].astype(float).std()
            amount = 0.0 if style.brushwork is None else style.brushwork.amount
            assert 0.5 * amount < marks < 3 + amount, style.name
            assert not grid_peak(painted, 48).found, style.name


def test_strength_zero_gives_the_planes_back() -> None:
    frame = frame_from_rgb(draw(0.5, 160, 90))
    with Stylizer("great-wave", strength=0) as stylizer:
        out = stylizer(frame)
    for a, b in zip((out.y, out.u, out.v), (frame.y, frame.u, frame.v), strict=True):
        np.testing.assert_array_equal(a, b)
