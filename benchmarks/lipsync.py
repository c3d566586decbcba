"""Sound against picture, by flashes and beeps that go through StreamFX.

A clip with a white flash and a beep at every full second is restyled on one or more paths:

    file       `streamfx process`, and `streamfx relay` from a file to a file
    rtmp-rtmp  ffmpeg -> RTMP -> `streamfx relay` -> RTMP -> ffmpeg
    rtmp-whep  ffmpeg -> RTMP -> `streamfx serve` -> WebRTC -> the program's own WHEP client
    browser    `streamfx serve` -> WebRTC -> Chromium, as it plays it
    camera     a file -> a virtual camera, or a plain file in its place

    python benchmarks/lipsync.py --path file rtmp-rtmp rtmp-whep camera --seconds 20

Positive offsets: the sound comes late. A machine that is too busy skips pictures, and where the
first one of a flash is skipped, its sound seems early by a picture. Files and RTMP are taken by
their time stamps, WebRTC by its sender reports, as players do. In the browser, a flash counts
when it is expected on the screen (requestVideoFrameCallback), a beep when it leaves for the
loudspeaker (AudioContext's output time stamp). A camera has no sound: there it is how late a
picture is handed over, from when it was due, which is the delay to set for the sound in the
program that takes the camera.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from lipsync_clip import Beeps, Flashes, make_clip, offsets, offsets_in
from live_server import CHROMIUM_ARGUMENTS, chromium, serving
from numpy.typing import NDArray

from streamfx.camera import CameraSink, open_camera
from streamfx.camera.v4l2 import planar
from streamfx.capture.whep import WhepSource
from streamfx.endpoints import parse_sink, parse_source
from streamfx.frames import Frame
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.files import FileSource

PAGE = Path(__file__).with_name("lipsync.html")
STREAMFX = (sys.executable, "-m", "streamfx.cli")
CAMERA_ROUNDS = 6  # the camera's clock begins anew, at another moment between two pictures

Rows = Iterator[tuple[str, list[float]]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ffmpeg(*arguments: object) -> list[str]:
    path = shutil.which("ffmpeg")
    if path is None:
        sys.exit("this path needs ffmpeg; install the package ffmpeg")
    return [path, "-nostdin", "-loglevel", "error", *map(str, arguments)]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come")
        time.sleep(0.05)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@contextmanager
def running(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended with the block."""
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def publish(clip: Path, address: str) -> list[str]:
    """ffmpeg, sending the clip at its own speed."""
    coding = ("-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-f", "flv")
    return ffmpeg("-re", "-i", clip, *coding, address)


def by_file(clip: Path, folder: Path, arguments: argparse.Namespace) -> Rows:
    target = folder / "processed.mkv"
    command = (*STREAMFX, "process", clip, "-o", target, "--style", arguments.style, "--quiet")
    subprocess.run([str(part) for part in command], check=True)
    yield "file → file, `process`", offsets_in(target)
    target = folder / "relayed.mkv"
    command = (*STREAMFX, "relay", clip, "--to", target, "--style", arguments.style, "--quiet")
    subprocess.run([str(part) for part in command], check=True)
    yield "file → file, `relay`", offsets_in(target)


def by_rtmp(clip: Path, folder: Path, arguments: argparse.Namespace) -> Rows:
    come, go, target = free_port(), free_port(), folder / "received.mkv"
    receive = ffmpeg(
        "-listen", 1, "-i", f"rtmp://127.0.0.1:{go}/live/out", "-c", "copy", target
    )  # it takes one publisher, so nobody may look whether it listens
    relay = (*STREAMFX, "relay", f"rtmp+listen://127.0.0.1:{come}/live/in")
    relay += ("--to", f"rtmp://127.0.0.1:{go}/live/out", "--style", arguments.style, "--quiet")
    with running(*receive) as receiver:
        with running(*relay):
            wait_for(lambda: listens(come), "the relay")
            subprocess.run(publish(clip, f"rtmp://127.0.0.1:{come}/live/in"), check=True)
        receiver.wait(30)
    yield "RTMP → RTMP", offsets_in(target)


class Receiver:
    """Takes what a WHEP endpoint sends, placed by its sender reports."""

    name = "receiver"

    def __init__(self) -> None:
        self.flashes, self.beeps = Flashes(), Beeps()
        self.began: float | None = None

    def push(self, frame: Frame, captured: float) -> None:
        self.began = captured if self.began is None else self.began
        self.flashes.see(frame.y, captured)

    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None:
        self.beeps.hear(samples[:, 0] / 32768, captured)

    def publisher_left(self) -> None:
        pass

    def publisher_returned(self) -> None:
        pass


def by_whep(clip: Path, folder: Path, arguments: argparse.Namespace) -> Rows:
    port = free_port()
    source = f"rtmp+listen://127.0.0.1:{port}/live/in"
    with serving("--source", source, "--style", arguments.style) as server:
        wait_for(lambda: listens(port), "the listener")
        receiver = Receiver()
        with running(*publish(clip, f"rtmp://127.0.0.1:{port}/live/in")) as publisher:
            whep = f"whep+{server.address}/whep/live"
            watching = WhepSource(parse_source(whep), receiver, say=lambda _: None)
            watching.start()
            publisher.wait()
            watching.stop()
    first = (receiver.began or 0) + arguments.warm_up
    yield "RTMP → WHEP", offsets(receiver.flashes.times, receiver.beeps.times, first)


class Timed:
    """A camera, or a plain file in its place, that notes when a flash has been handed to it."""

    def __init__(self, device: str | None, size: tuple[int, int], fps: float, like: Frame) -> None:
        self.size = size
        self.flashes = Flashes()
        self._card = like  # that stands in for the first picture
        self._camera = open_camera(device, size, fps, like) if device is not None else None
        self._file = tempfile.TemporaryFile(buffering=0) if device is None else None  # noqa: SIM115
        self.shown = device or "file"

    def write(self, frame: Frame) -> None:
        if self._camera is not None:
            self._camera.write(frame)
        if self._file is not None:
            self._file.seek(0)
            self._file.write(planar(frame))
        if frame is not self._card:
            self.flashes.see(frame.y, time.monotonic())

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
        if self._file is not None:
            self._file.close()


class Due:
    """Passes a source's pictures on, and notes when each flash was due."""

    def __init__(self, stream: LiveStream) -> None:
        self.name = stream.name
        self.flashes = Flashes()
        self.push_audio = stream.push_audio
        self._stream = stream

    def push(self, frame: Frame, captured: float) -> None:
        self.flashes.see(frame.y, captured)
        self._stream.push(frame, captured)


def by_camera(clip: Path, folder: Path, arguments: argparse.Namespace) -> Rows:
    cameras: list[Timed] = []

    def open_timed(_: str, size: tuple[int, int], fps: float, like: Frame) -> Timed:
        cameras.append(Timed(arguments.device, size, fps, like))
        return cameras[-1]

    settings = LiveSettings(style=arguments.style, size=(640, 360), keep_warm=True)
    stream = LiveStream("camera", StyleShelf(None), settings)
    due = Due(stream)
    source = FileSource(due, str(clip), loop=True)  # type: ignore[arg-type]
    source.start()
    time.sleep(arguments.warm_up)
    for _ in range(CAMERA_ROUNDS):
        sink = CameraSink(parse_sink("camera:"), stream, say=lambda _: None, opener=open_timed)
        sink.start()
        time.sleep(arguments.seconds / CAMERA_ROUNDS + 1 / 30 / CAMERA_ROUNDS)
        sink.stop()
    source.stop()
    stream.close()
    late = offsets(due.flashes.times, [when for each in cameras for when in each.flashes.times])
    place = arguments.device or "a file in its place"
    yield f"file → camera ({place}): the picture is late by", [ms for ms in late if ms > 0]


def by_browser(clip: Path, folder: Path, arguments: argparse.Namespace) -> Rows:
    from playwright.sync_api import sync_playwright

    options = ("--source", str(clip), "--loop", "--style", arguments.style)
    with serving(*options) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        page.route(
            f"{server.address}/bench",
            lambda route: route.fulfill(body=PAGE.read_text(), content_type="text/html"),
        )
        page.goto(f"{server.address}/bench")
        page.evaluate("bench.watch('live')")
        time.sleep(arguments.warm_up + arguments.seconds)
        found = page.evaluate("bench.found()")
        browser.close()
    flashes, beeps = (np.array(found[name]) / 1000 for name in ("flashes", "beeps"))
    if not flashes.size or not beeps.size:
        sys.exit(f"{flashes.size} flashes and {beeps.size} beeps were found")
    joined = [f"{each:.0f}" for each in offsets(flashes, beeps)[:5]]
    yield (
        f"file → WHEP, Chromium (first after joining: {', '.join(joined)} ms)",
        offsets(flashes, beeps, flashes[0] + arguments.warm_up),
    )


PATHS: dict[str, Callable[[Path, Path, argparse.Namespace], Rows]] = {
    "file": by_file,
    "rtmp-rtmp": by_rtmp,
    "rtmp-whep": by_whep,
    "camera": by_camera,
    "browser": by_browser,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", nargs="+", choices=PATHS, default=["browser"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5, help="seconds before the first pair")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--device", help="a virtual camera, such as /dev/video10")
    arguments = parser.parse_args()
    table = ["| path | flashes | mean | median | worst |", "| --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "flash.mkv"
        make_clip(clip, round(arguments.seconds + arguments.warm_up))
        for path in arguments.path:
            for name, found in PATHS[path](clip, Path(folder), arguments):
                if not found:
                    sys.exit(f"{name}: no flash with its beep was found")
                figures = (np.mean(found), np.median(found), max(found, key=abs))
                shown = " | ".join(f"{figure:.1f} ms" for figure in figures)
                table.append(f"| {name} | {len(found)} | {shown} |")
    print("\n".join(table))


if __name__ == "__main__":
    main()
