"""Live sources: their clock, their stalls, how they are opened, and coming again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import packs
from ports import free_port
from streamfx.capture import open_source
from streamfx.capture.clock import LiveClock
from streamfx.capture.devices import input_of
from streamfx.capture.listener import Publishers
from streamfx.capture.state import Attendance
from streamfx.endpoints import parse_sink, parse_source
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.demo import DemoSource
from streamfx.sinks import open_sink
from watching import grey, wait_for


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_a_burst_at_the_start_is_caught_up_with() -> None:
    now = Now()
    clock = LiveClock(now)
    delays = []
    for index in range(60):  # two seconds that a server kept come at once, then live ones
        if index >= 30:
            now.time += 1 / 30
        due = clock.due(clock.position(index / 30, 1 / 30))
        assert due <= now.time
        delays.append(now.time - due)
    assert max(delays) < 1e-6


def test_jitter_moves_nothing() -> None:
    now = Now()
    clock = LiveClock(now)
    begin = now.time
    steps = []
    for index in range(300):
        now.time = begin + index / 30 + (0.03 if index % 3 else 0.0)
        steps.append(clock.due(clock.position(index / 30, 1 / 30)))
    assert np.diff(steps) == pytest.approx(1 / 30, abs=1e-6)
    assert clock.captured(10.0) == pytest.approx(begin + 10.0)


@pytest.mark.parametrize("speed", [0.999, 1.001])
def test_a_clock_that_runs_at_another_speed_is_followed(speed: float) -> None:
    now = Now()
    clock = LiveClock(now)
    begin = now.time
    for index in range(30 * 60):
        now.time = begin + index / 30 * speed
        late = now.time - clock.due(clock.position(index / 30, 1 / 30))
        assert 0 <= late < 0.03


def test_a_jump_begins_anew() -> None:
    now = Now()
    clock = LiveClock(now)
    clock.due(clock.position(5.0, 0.1))
    now.time += 0.1
    assert clock.due(clock.position(90_000.0, 0.1)) == pytest.approx(now.time, abs=1e-6)


@dataclass
class Destination:
    name: str = "test"
    calls: list[str] = field(default_factory=list)

    def push(self, frame: Frame, captured: float) -> None:
        self.calls.append("push")

    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None:
        self.calls.append("sound")

    def publisher_left(self) -> None:
        self.calls.append("left")

    def publisher_returned(self) -> None:
        self.calls.append("returned")


def test_a_stall_is_noticed_within_two_seconds_and_its_end_at_once() -> None:
    now, to, said = Now(), Destination(), list[str]()
    attendance = Attendance(to, said.append, now)
    for _ in range(40):  # nothing came yet: no stall
        now.time += 0.25
        attendance.look()
    attendance.connected()
    attendance.push(grey(9), 0)
    stalled = 0.0
    while attendance.status.state == "live":
        now.time += 0.25
        stalled += 0.25
        attendance.look()
    assert stalled <= 2
    attendance.push(grey(9), 0)
    assert attendance.status.state == "live"
    attendance.lost("it broke off")
    attendance.lost("it broke off")
    assert (attendance.status.state, attendance.status.error) == ("lost", "it broke off")
    attendance.push(grey(9), 0)
    assert to.calls == ["returned", "push", "left", "returned", "push", "left", "returned", "push"]
    assert said == [
        "pictures come",
        "no pictures come: the source stalls",
        "pictures come again",
        "it broke off; trying again",
        "pictures come again",
    ]
    attendance.ended()
    attendance.push(grey(9), 0)
    assert to.calls[-1] == "push"
    assert attendance.status.pictures == 3


@pytest.mark.parametrize(
    ("name", "platform", "form", "target"),
    [
        ("webcam", "linux", "v4l2", "/dev/video0"),
        ("device:2#size=1280x720&fps=60", "linux", "v4l2", "/dev/video2"),
        ("webcam", "darwin", "avfoundation", "0:none"),
        ("device:1", "win32", "dshow", "video=Second"),
        ("device:Second", "win32", "dshow", "video=Second"),
        ("screen", "linux", "x11grab", ":7.0"),
        ("screen:1", "linux", "x11grab", ":7.1"),
        ("screen", "darwin", "avfoundation", "Capture screen 0:none"),
        ("screen", "win32", "gdigrab", "desktop"),
        ("rtmp://h/a/b", "linux", None, "rtmp://h/a/b"),
        ("rtsp://h/a", "linux", None, "rtsp://h/a"),
        ("tcp://h:1", "linux", "mpegts", "tcp://h:1"),
    ],
)
def test_how_sources_are_opened(name: str, platform: str, form: str | None, target: str) -> None:
    found = input_of(parse_source(name), platform, {"DISPLAY": ":7"}, ["First", "Second"])
    assert (found.form, found.target) == (form, target)
    if "#" in name:
        assert dict(found.options) == {"framerate": "60", "video_size": "1280x720"}


def test_udp_waits_for_a_while_only() -> None:
    found = input_of(parse_source("udp://239.0.0.1:5?localaddr=10.0.0.1"), "linux", {})
    assert "localaddr=10.0.0.1&" in found.target
    assert "timeout=5000000" in found.target


@pytest.mark.parametrize(
    ("name", "platform", "environ", "message"),
    [
        ("device:Nice Camera", "linux", {}, "device:0 or device:/dev/video0"),
        ("device:3", "win32", {}, "there is no camera 3; there are: First, Second"),
        ("screen", "linux", {}, "DISPLAY is not set"),
        ("screen", "linux", {"WAYLAND_DISPLAY": "wayland-0"}, "Wayland"),
        ("screen:1", "win32", {}, "only the whole desktop"),
        ("webcam", "plan9", {}, "cannot be read on plan9"),
    ],
)
def test_sources_that_a_platform_has_not(
    name: str, platform: str, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        input_of(parse_source(name), platform, environ, ["First", "Second"])


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[tuple[LiveStream, LiveStream]]:
    shelf = StyleShelf(packs.tiny_pack(tmp_path))
    settings = LiveSettings(
        precision="fp32", threads=1, enabled=False, keep_warm=True, size=(160, 96)
    )
    pair = LiveStream("sender", shelf, settings), LiveStream("receiver", shelf, settings)
    demo = DemoSource(pair[0])
    demo.start()
    yield pair
    demo.stop()
    for stream in pair:
        stream.close()


def test_a_source_that_is_missing_at_the_start_is_waited_for(
    streams: tuple[LiveStream, LiveStream], tmp_path: Path
) -> None:
    said: list[str] = []
    name = f"tcp+listen://127.0.0.1:{free_port()}"
    source = open_source(parse_source(name.replace("+listen", "")), streams[1], say=said.append)
    source.start()
    wait_for(lambda: said)
    sink = open_sink(parse_sink(name), streams[0])
    sink.start()
    wait_for(lambda: streams[1].stats().frames_in > 5, "pictures")
    sink.stop()
    wait_for(lambda: streams[1].stats().state == "paused", "the notice that it is lost")
    sink = open_sink(parse_sink(name), streams[0])
    sink.start()
    wait_for(lambda: streams[1].stats().state == "live", "its return")
    sink.stop()
    source.stop()
    assert "cannot be opened" in said[0]
    assert any(text.endswith("pictures come again") for text in said)


def test_publishers_on_one_port_feed_the_streams_of_their_keys(
    streams: tuple[LiveStream, LiveStream], tmp_path: Path
) -> None:
    third = LiveStream("third", StyleShelf(packs.tiny_pack(tmp_path)), streams[0].settings)
    at = f"127.0.0.1:{free_port()}/live"
    receivers = {"one": streams[1], "two": third}
    sources = [
        open_source(parse_source(f"rtmp+listen://{at}/{key}"), stream)
        for key, stream in receivers.items()
    ]
    for source in sources:
        source.start()
    sinks = [open_sink(parse_sink(f"rtmp://{at}/{key}"), streams[0]) for key in ("one", "bad")]
    for sink in sinks:
        sink.start()
    wait_for(lambda: streams[1].stats().frames_in > 10, "pictures")
    wait_for(lambda: "BadName" in sinks[1].status.error, "the refusal")
    assert third.stats().frames_in == 0
    assert streams[1].stats().size_in == (160, 96)
    with pytest.raises(StreamFXError, match="share one key"):
        Publishers(parse_source(f"rtmp+listen://{at}/two"))
    for each in (*sinks, *sources):
        each.stop()
    third.close()
    # The last source gave the port back.
    again = Publishers(parse_source(f"rtmp+listen://{at}/one"))
    again.close()
