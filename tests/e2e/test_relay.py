"""`streamfx relay` and `streamfx camera` as users start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

import packs
import videos
from watching import wait_for

RUN = [sys.executable, "-m", "streamfx.cli"]
FLAGS = ["--backend", "onnxruntime", "--threads", "1"]


def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environ,
    )


def pictures(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def test_a_file_goes_to_two_recordings(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    clip = videos.make_video(tmp_path / "in.mp4", frames=60, sound="aac")
    sinks = [tmp_path / "a.mp4", tmp_path / "b.mkv"]
    done = run(
        "relay", clip, *(part for sink in sinks for part in ("--to", sink)), *FLAGS,
        "--pack", pack.path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for sink in sinks:
        assert pictures(sink) > 20
    assert "a.mp4: " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_recording_outlives_the_program(tmp_path: Path, number: signal.Signals) -> None:
    pack = packs.tiny_pack(tmp_path)
    target = tmp_path / "show.mp4"
    command = [*RUN, "relay", "demo:", "--to", str(target), "--size", "160x96", *FLAGS]
    process = subprocess.Popen(
        [*command, "--pack", str(pack.path)], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: target.exists() and target.stat().st_size > 150_000, "some seconds")
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (0 if number is signal.SIGTERM else -number)
    assert pictures(target) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relay", "demo:", "--to", "show.avi"], "a recording's name ends in .mp4"),
        (["relay", "demo:", "--to", "rtmp://h/app/$NO_KEY"], "no variable NO_KEY"),
        (["relay", "gopher://x", "--to", "x.mp4"], "no kind of source"),
        (["relay", "missing.mp4", "--to", "x.mp4"], "'missing.mp4' cannot be opened"),
        (["relay", "demo:", "--to", "x.mp4", "--fps", "500"], "fps"),
        (["camera", "--device", "/dev/no-such-device"], "sudo modprobe v4l2loopback"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    pack = packs.tiny_pack(tmp_path)
    arguments = [str(tmp_path / "x.mp4") if part == "x.mp4" else part for part in arguments]
    done = run(*arguments, "--pack", pack.path, "--quiet", *FLAGS)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_sound_alone_is_refused_and_leaves_no_recording(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    sound, target = videos.make_sound(tmp_path / "talk.m4a"), tmp_path / "show.mp4"
    done = run("relay", sound, "--to", target, "--quiet", "--pack", pack.path, *FLAGS)
    assert done.returncode == 2
    assert "'talk.m4a' holds no picture: there is nothing to restyle" in done.stderr
    assert not target.exists()


def test_a_camera_that_is_missing_at_the_start_is_waited_for(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    target, log = tmp_path / "show.mkv", tmp_path / "relay.log"
    command = [*RUN, "relay", "device:/dev/video99", "--to", str(target), "--quiet", *FLAGS]
    with log.open("w") as errors:
        process = subprocess.Popen([*command, "--pack", str(pack.path)], stderr=errors)
    try:
        wait_for(lambda: "trying again" in log.read_text(), "the sentence")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert log.read_text().count("device:video99 cannot be opened: No such file") == 1
    assert not target.exists()


def test_a_key_is_never_written_anywhere(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    clip = videos.make_video(tmp_path / "in.mp4", frames=45)
    done = run(
        "relay", clip, "--to", "rtmp://127.0.0.1:9/app/${STREAM_KEY}", "--pack", pack.path, *FLAGS,
        STREAM_KEY="live_s3cret",
    )  # fmt: skip
    assert "rtmp://127.0.0.1:9/app/…: Connection refused" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
