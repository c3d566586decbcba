"""Which input becomes which output, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamfx.errors import InputError
from streamfx.jobs import Job, plan


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("a.mp4", "b.avi", "b.mp4", "c.JPG", "notes.txt", "deep/er/d.mkv", ".hidden.mp4",
             ".cache/e.mp4", "f.partial.mp4")  # fmt: skip
    touch(*(tmp_path / "in" / name for name in names))
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a.mkv", "a.styled.mkv"),
        ("a.b.MP4", "a.b.styled.MP4"),
        ("a.avi", "a.styled.mp4"),
        ("a.jpg", "a.styled.jpg"),
    ],
)
def test_without_an_output_the_result_stands_beside(
    tmp_path: Path, source: str, target: str
) -> None:
    touch(tmp_path / source)
    planned = plan([tmp_path / source], None)
    assert planned.jobs == [Job(tmp_path / source, tmp_path / target)]
    assert planned.alone


def test_one_file_into_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.avi")
    (tmp_path / "out").mkdir()
    assert plan([tmp_path / "a.avi"], tmp_path / "out").jobs == [
        Job(tmp_path / "a.avi", tmp_path / "out" / "a.avi.mp4")
    ]


def test_a_folder_keeps_its_tree_and_only_media(folder: Path) -> None:
    out = folder.parent / "out"
    planned = plan([folder], out)
    assert {(j.source.relative_to(folder).as_posix(), j.target.relative_to(out).as_posix())
            for j in planned.jobs} == {
        ("a.mp4", "a.mp4"),
        ("b.avi", "b.avi.mp4"),
        ("b.mp4", "b.mp4"),
        ("c.JPG", "c.JPG"),
        ("deep/er/d.mkv", "deep/er/d.mkv"),
    }  # fmt: skip
    assert not planned.alone
    assert not out.exists()


def test_an_output_folder_inside_the_input_is_not_an_input(folder: Path) -> None:
    touch(folder / "out" / "a.mp4")
    planned = plan([folder], folder / "out")
    assert planned.done == [folder / "out" / "a.mp4"]
    assert len(planned.jobs) == 4


def test_what_is_done_is_left_alone_unless_told(folder: Path) -> None:
    out = folder.parent / "out"
    touch(out / "a.mp4", out / "deep" / "er" / "d.mkv")
    assert sorted(plan([folder], out).done) == [out / "a.mp4", out / "deep" / "er" / "d.mkv"]
    again = plan([folder], out, overwrite=True)
    assert (len(again.jobs), again.done) == (5, [])


def test_refusals(folder: Path, tmp_path: Path) -> None:
    video, picture = folder / "a.mp4", folder / "c.JPG"
    touch(tmp_path / "other" / "a.mp4", tmp_path / "there.mp4")
    (tmp_path / "link.mp4").symlink_to(video)
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[list[Path], Path | None, str]] = [
        ([folder / "a.mp"], None, "did you mean 'a.mp4'"),
        ([video], video, "is an input"),
        ([video], tmp_path / "link.mp4", "is an input"),
        ([folder], folder, "is an input"),
        ([video], tmp_path / "there.mp4", "exists already"),
        ([video], tmp_path / "out.xyz", "ends in .mp4"),
        ([video], tmp_path / "out.jpg", "ends in .mp4"),
        ([picture], tmp_path / "out.mp4", "ends in .jpg"),
        ([video], tmp_path / "no" / "out.mp4", "no folder"),
        ([video, tmp_path / "other" / "a.mp4"], tmp_path / "out", "would both become"),
        ([video, picture], tmp_path / "there.mp4", "must be a folder"),
        ([empty], None, "no video or picture"),
    ]
    for inputs, output, reason in cases:
        with pytest.raises(InputError, match=reason):
            plan(inputs, output)
