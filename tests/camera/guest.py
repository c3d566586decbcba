"""Runs inside the guest of tests/rigs/vcam-rig.sh: `streamfx camera` on real loopback devices.

/dev/video10 has exclusive_caps=1. Nothing here depends on how fast the guest is.

Usage: guest.py FOLDER
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import packs
import videos
from streamfx.camera.doctor import examine_cameras
from streamfx.camera.v4l2 import CAPTURE, OUTPUT, describe

DEVICE = Path("/dev/video10")
SIZE = (320, 240)
FRAMES = 12
RATE = 2  # pictures a second, slow enough for an emulated machine
SECONDS = 90.0
LEAST_PSNR = 30.0


def main(folder: Path) -> None:
    pack = packs.tiny_pack(folder)
    times = range(0, 30 * FRAMES // RATE, 30 // RATE)
    clip = videos.make_video(folder / "clip.mkv", size=SIZE, times=times, last=30 // RATE)
    styled = folder / "styled.mkv"
    engine = ["--pack", str(pack.path), "--backend", "onnxruntime", "--threads", "1"]
    # The clip goes round and its beginning has a past then: so it has in the second half of two.
    twice = folder / "twice.mkv"
    command = ["ffmpeg", "-v", "error", "-stream_loop", "1", "-i", str(clip)]
    subprocess.run([*command, "-c", "copy", str(twice)], timeout=SECONDS, check=True)
    streamfx("process", str(twice), "-o", str(styled), "--crf", "1", *engine)
    wanted = [luma(frame) for frame in decoded(styled)][-FRAMES:]
    camera = ["camera", "--source", str(clip), "--loop", "--device", str(DEVICE), "--quiet"]
    camera += ["--size", "320x240", "--fps", "10", *engine]
    for round_number in range(3):
        number = signal.SIGKILL if round_number == 1 else signal.SIGTERM
        show(camera, number, wanted)
        wait(lambda: bool(describe(DEVICE).capabilities & OUTPUT), "its being given back")
        print(f"round {round_number + 1}: ended by {number.name}, given back", flush=True)
    show(camera, signal.SIGTERM, wanted, with_ffmpeg=True)
    failed = subprocess.run(
        [sys.executable, "-m", "streamfx.cli", "camera", "--device", "/dev/video99", *engine],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert failed.returncode == 2, failed
    assert "sudo modprobe v4l2loopback" in failed.stderr, failed.stderr
    for check in examine_cameras():
        print(f"{check.name}: {check.state.value}: {check.found}")
    print("GUEST OK", flush=True)


def show(
    command: list[str],
    number: signal.Signals,
    wanted: list[NDArray[np.uint8]],
    with_ffmpeg: bool = False,
) -> None:
    """Start the camera, hold every picture of the clip against `process`'s, and end it."""
    process = subprocess.Popen([sys.executable, "-m", "streamfx.cli", *command])
    try:
        wait(lambda: not describe(DEVICE).capabilities & OUTPUT, "the camera's start")
        assert describe(DEVICE).capabilities & CAPTURE
        if with_ffmpeg:
            read_with_ffmpeg()
        else:
            compare(wanted)
    finally:
        process.send_signal(number)
        process.wait(SECONDS)


def compare(wanted: list[NDArray[np.uint8]]) -> None:
    """Until every picture was seen, each at 30 dB or better."""
    deadline = time.monotonic() + SECONDS
    seen: dict[int, float] = {}
    with av.open(str(DEVICE), format="v4l2", timeout=(20, 20)) as reader:
        for frame in reader.decode(video=0):
            assert (frame.width, frame.height) == SIZE
            figures = [psnr(luma(frame), each) for each in wanted]
            best = int(np.argmax(figures))
            if figures[best] >= LEAST_PSNR:
                seen[best] = max(seen.get(best, 0.0), figures[best])
            if len(seen) == len(wanted):
                print(f"all {len(seen)} pictures, PSNR from {min(seen.values()):.1f} dB")
                return
            assert time.monotonic() < deadline, f"only the pictures {sorted(seen)} were seen"


def read_with_ffmpeg() -> None:
    command = ["ffmpeg", "-v", "error", "-f", "v4l2", "-i", str(DEVICE)]
    command += ["-frames:v", "5", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    assert len(done.stdout) == 5 * SIZE[0] * SIZE[1] * 3 // 2


def streamfx(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "streamfx.cli", *arguments], timeout=SECONDS, check=True)


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return frame.reformat(format="yuv420p").to_ndarray()[: frame.height, : frame.width]


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.mean((a.astype(np.float32) - b) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
