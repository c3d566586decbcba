"""OBS's place taken by ffmpeg: RTMP in, restyled, WHIP to another server, and a recording."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import packs
from browsing import chromium, wait_for_motion
from ports import free_port
from publishing import GREY, publishing, wait_for_listener
from serving import Served, serving
from streamfx.capture.whep import WhepSource
from streamfx.endpoints import parse_source
from streamfx.frames import Frame
from watching import wait_for

PATIENCE = 60_000  # milliseconds


@dataclass
class Chain:
    """ffmpeg -> `relay` -> `serve`, all on the air.

    Attributes:
        recording: made by the relay meanwhile.
        served: the server that takes the WHIP push and changes nothing.
    """

    recording: Path
    served: Served
    publisher: subprocess.Popen[str]
    relay: subprocess.Popen[str]
    log: Path

    def end(self) -> str:
        """Let the publisher leave, then the relay end; its last line."""
        self.publisher.terminate()
        wait_for(lambda: "trying again" in self.log.read_text(), "the publisher's leaving")
        self.relay.send_signal(signal.SIGTERM)
        assert self.relay.wait(60) == 0
        return self.log.read_text().splitlines()[-1]


@contextmanager
def chain(folder: Path) -> Iterator[Chain]:
    pack = packs.tiny_pack(folder).path
    engine = ["--pack", str(pack), "--backend", "onnxruntime", "--threads", "1"]
    port, recording, log = free_port(), folder / "show.mkv", folder / "relay.log"
    with serving(folder, *engine, LIVE__ENABLED="false") as served:
        sink = f"whip+{served.url}/whip/show"
        command = [sys.executable, "-m", "streamfx.cli", "relay", *engine]
        command += [f"rtmp+listen://127.0.0.1:{port}/live/s3cret"]
        command += ["--to", sink, "--to", str(recording)]
        with log.open("w") as errors:
            relay = subprocess.Popen(command, stderr=errors, text=True)
        try:
            wait_for_listener(port)
            with publishing(f"rtmp://127.0.0.1:{port}/live/s3cret") as publisher:
                wait_for(
                    lambda: log.read_text().count(": sending") >= 2, f"a start: {log.read_text()}"
                )
                yield Chain(recording, served, publisher, relay, log)
        finally:
            relay.kill()
            relay.wait()


@dataclass
class Viewer:
    """Takes what a WHEP endpoint sends."""

    name: str = "viewer"
    pictures: list[Frame] = field(default_factory=list)
    loudest: int = 0

    def push(self, frame: Frame, captured: float) -> None:
        self.pictures.append(frame)

    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None:
        self.loudest = max(self.loudest, int(np.abs(samples).max(initial=0)))

    def publisher_left(self) -> None: ...
    def publisher_returned(self) -> None: ...


def test_rtmp_comes_in_and_goes_to_a_server_and_a_file(tmp_path: Path) -> None:
    with chain(tmp_path) as running:
        viewer = Viewer()
        source = WhepSource(parse_source(f"whep+{running.served.url}/whep/show"), viewer)
        source.start()
        wait_for(lambda: len(viewer.pictures) > 30 and viewer.loudest > 1000, "pictures and sound")
        source.stop()
        last = running.end()
    shown = viewer.pictures[-1]
    assert (shown.width, shown.height) == (160, 96)
    # Restyled once, by the relay: the tiny pack's style makes it lighter by 40 and more.
    assert shown.y[60:].mean() > GREY + 35
    assert np.ptp([frame.y[:40].astype(int) for frame in viewer.pictures[-15:]], axis=0).max() > 40
    with av.open(str(running.recording)) as file:
        pictures = list(file.decode(video=0))
    assert f"show.mkv: {len(pictures)} frames" in last, "every picture that was sent is there"
    assert len(pictures) > 30
    assert (np.diff([frame.pts for frame in pictures]) > 0).all()
    assert pictures[30].to_ndarray()[60:96].mean() > GREY + 35
    with av.open(str(running.recording)) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    lasted = float((pictures[-1].pts - pictures[0].pts) * pictures[0].time_base)
    assert len(heard) / 48_000 == pytest.approx(lasted, abs=0.7)
    assert np.abs(heard).max() > 0.05
    assert "s3cret" not in running.log.read_text()


@pytest.mark.slow
def test_a_browser_watches_what_was_pushed_to_the_other_server(tmp_path: Path) -> None:
    with chromium() as launch, chain(tmp_path) as running, launch() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{running.served.url}/watch/show?clean=1")
        wait_for_motion(page, "#video")
        last = running.end()
        page.close()
    with av.open(str(running.recording)) as file:
        assert f"show.mkv: {sum(1 for _ in file.decode(video=0))} frames" in last
