"""`streamfx process` as a user runs it: exit codes, messages, signals, folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

import packs
from videos import contents, make_sound, make_video

COMMAND = [sys.executable, "-m", "streamfx.cli"]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    packs.tiny_pack(folder)
    return folder / "tiny.stylepack"


def streamfx(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def process(pack: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    options = ("--pack", pack, "--backend", "onnxruntime", "--threads", "1")
    return streamfx("process", *options, *arguments)


def test_help_is_fast_because_it_imports_nothing_heavy() -> None:
    code = "import sys; from streamfx.cli import main\n"
    code += "try: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('av', 'cv2', 'onnx', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "process" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_video(tmp_path: Path, pack: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=20, sound="aac")
    done = process(pack, source, "-o", tmp_path / "out.mp4", "--style", "great-wave")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{tmp_path}/out.mp4: 20 frames, 0.67 s\n"
    before, after = contents(source), contents(tmp_path / "out.mp4")
    assert (after.times, after.sound) == (before.times, before.sound)
    # This style of the test's pack adds 40 and then the state to luma.
    assert all(b > a + 30 for a, b in zip(before.levels, after.levels, strict=True))


def test_what_runs_where_is_said_on_demand(tmp_path: Path, pack: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    done = process(pack, source, "-v")
    assert done.returncode == 0
    decode, stylize, encode, result = done.stderr.splitlines()
    assert decode.startswith("decode runs on the CPU by FFmpeg: ")
    assert stylize.startswith("stylize runs on the CPU by onnxruntime: ")
    assert encode.startswith("encode runs on the CPU by FFmpeg: ")
    assert result.endswith("in.styled.mp4: 3 frames, 0.10 s")
    done = process(pack, source, "-v", "--overwrite", "--frames", "cpu")
    assert done.stderr.splitlines() == [result]


def test_no_overwriting_without_being_told(tmp_path: Path, pack: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    target = tmp_path / "in.styled.mp4"
    target.write_bytes(b"precious")
    done = process(pack, source)
    assert done.returncode == 2
    assert done.stderr == f"streamfx: '{target}' exists already; --overwrite replaces it\n"
    assert target.read_bytes() == b"precious"
    assert process(pack, source, "--overwrite", "--quiet").stderr == ""
    assert len(contents(target).times) == 3


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, pack: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"\xff\xd8 nothing" * 999)
    small = make_video(tmp_path / "small.mkv", codec="ffv1", size=(1, 1))
    video = make_video(tmp_path / "in.mp4", frames=2)
    cases = [
        ((garbage,), "not a video that can be read"),
        ((make_sound(tmp_path / "sound.m4a"),), "only sound"),
        ((tmp_path / "none.mp4",), "there is no file"),
        ((small,), "at least 16 pixels"),
        ((video, "--style", "great-wav"), "great-wave"),
        ((video, "--strength", "2"), "from 0 to 1"),
        ((video, "-o", tmp_path / "out.doc"), "ends in .mp4"),
        ((video, "--codec", "vp9", "--preset", "fast"), "presets"),
        ((video, "--size", "7x7"), "a size is like"),
    ]
    for arguments, reason in cases:
        done = process(pack, *arguments)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
        assert done.stderr.splitlines()[-1].startswith("streamfx: ")
        assert "Traceback" not in done.stderr
    left = {"garbage.mp4", "sound.m4a", "small.mkv", "in.mp4"}
    assert {p.name for p in tmp_path.iterdir()} == left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_a_playable_part(tmp_path: Path, pack: Path, number: int) -> None:
    # The job reads from a pipe, which holds less than three of these frames: when it has taken
    # most of them, it is under way, and it cannot be done before the rest is written.
    whole = make_video(tmp_path / "whole.mkv", codec="rawvideo", frames=40, size=(160, 120))
    data = whole.read_bytes()
    most = len(data) * 3 // 4
    source = tmp_path / "in.mkv"
    os.mkfifo(source)
    options = ("--pack", pack, "--backend", "onnxruntime", "-o", tmp_path / "out.mp4")
    with subprocess.Popen(
        [*COMMAND, "process", *map(str, options), str(source)], stderr=subprocess.PIPE, text=True
    ) as job:
        with suppress(BrokenPipeError), source.open("wb", buffering=0) as pipe:
            pipe.write(data[:most])
            job.send_signal(number)
            pipe.write(data[most:])
        assert job.stderr is not None
        said = job.stderr.read()
        assert job.wait(60) == 130
    after = contents(tmp_path / "out.partial.mp4")
    assert 1 <= len(after.times) < 40
    assert after.times == contents(whole).times[: len(after.times)]
    assert f"stopped; {tmp_path}/out.partial.mp4 holds what was done: {len(after.times)} " in said
    assert not (tmp_path / "out.mp4").exists()


def test_a_cut_off_file_is_kept_in_part_and_fails(tmp_path: Path, pack: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", frames=240, options={"g": "10"}).read_bytes()
    (tmp_path / "in.mkv").write_bytes(whole[: len(whole) // 2])
    done = process(pack, tmp_path / "in.mkv", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert "in.mkv is cut off; " in done.stderr
    assert len(contents(tmp_path / "out.partial.mp4").times) > 20
    assert not (tmp_path / "out.mp4").exists()


def test_a_folder_skips_what_is_done_and_goes_on_past_a_bad_file(
    tmp_path: Path, pack: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    make_video(folder / "a.mp4", frames=3)
    (folder / "b.mp4").write_bytes(b"not a video")
    make_video(folder / "deep" / "c.mkv", frames=4)
    Image.new("RGB", (33, 21), (90, 60, 30)).save(folder / "deep" / "d.png")
    make_video(folder / "e.webm", codec="libvpx-vp9", frames=3)
    (out / "deep").mkdir(parents=True)
    (out / "e.webm").write_bytes(b"done")
    done = process(pack, folder, "-o", out)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == f"{out}/e.webm is there already: skipped"
    assert any(line.startswith(f"{folder}/b.mp4: ") for line in lines)
    assert lines[-1] == "3 restyled, 1 skipped, 1 failed"
    assert len(contents(out / "a.mp4").times) == 3
    assert len(contents(out / "deep" / "c.mkv").times) == 4
    with Image.open(out / "deep" / "d.png") as picture:
        assert picture.size == (33, 21)
    assert (out / "e.webm").read_bytes() == b"done"
    assert not [p for p in out.rglob("*") if p.name.startswith(".")]
    (folder / "b.mp4").unlink()
    again = process(pack, folder, "-o", out)
    assert (again.returncode, again.stderr.splitlines()[-1]) == (
        0,
        "0 restyled, 4 skipped, 0 failed",
    )


def test_strength_0_gives_the_planes_back(tmp_path: Path, pack: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5)
    done = process(pack, source, "--strength", "0", "--crf", "0")
    assert done.returncode == 0
    before, after = contents(source), contents(tmp_path / "in.styled.mp4")
    assert all((a == b).all() for a, b in zip(before.lumas, after.lumas, strict=True))


def test_the_demo_scene_can_be_restyled(tmp_path: Path, pack: Path) -> None:
    scene = tmp_path / "demo.mp4"
    assert streamfx("demo", "-o", scene, "--seconds", "0.5", "--size", "96x54").returncode == 0
    assert streamfx("demo", "-o", scene).returncode == 2
    assert process(pack, scene, "-o", tmp_path / "out.mkv").returncode == 0
    assert contents(tmp_path / "out.mkv").sound
