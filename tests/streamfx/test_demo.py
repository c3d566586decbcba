"""The demo scene: the same on every run, moving, with sound, at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamfx.demo import draw, melody, render
from streamfx.errors import InputError
from videos import contents


def test_the_scene_is_the_same_every_time_and_moves() -> None:
    first = draw(1.0, 160, 90)
    assert first.shape == (90, 160, 3)
    assert np.array_equal(first, draw(1.0, 160, 90))
    moved = np.abs(first.astype(int) - draw(1.0 + 1 / 30, 160, 90))
    assert 0.2 < moved.mean() < 8
    assert first.std() > 40


def test_the_tune_is_audible_and_never_clips() -> None:
    sound = melody(3)
    assert sound.shape == (2, 144_000)
    assert np.abs(sound).max() < 1
    assert all(np.sqrt((part**2).mean()) > 0.01 for part in np.array_split(sound, 3, axis=1))
    assert np.array_equal(sound, melody(3))


def test_the_file_has_every_frame_and_as_much_sound(tmp_path: Path) -> None:
    render(tmp_path / "demo.mp4", seconds=1, width=96, height=54)
    found = contents(tmp_path / "demo.mp4")
    assert len(found.times) == 30
    assert found.size == (96, 54)
    assert found.codecs == ["h264", "aac"]
    assert float(found.sound[-1][0]) == pytest.approx(1, abs=0.05)
    assert found.color == (1, 1, 1, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["demo.mp4"]


@pytest.mark.parametrize(("size", "seconds"), [((97, 54), 1), ((16, 16), 1), ((96, 54), 0)])
def test_refusals(tmp_path: Path, size: tuple[int, int], seconds: float) -> None:
    with pytest.raises(InputError):
        render(tmp_path / "demo.mp4", seconds=seconds, width=size[0], height=size[1])
    assert list(tmp_path.iterdir()) == []
