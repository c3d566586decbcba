"""Sound against picture: shifted as asked, by time stamps, and bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import packs
from streamfx.endpoints import parse_sink, parse_source
from streamfx.errors import InputError
from streamfx.live import ControlChange, LiveSettings, LiveStream, StyleShelf
from streamfx.live.hold import Hold
from streamfx.live.rungs import Target
from streamfx.live.sound import SoundTrack
from streamfx.relay import Relay
from watching import Watcher, camera, grey

FPS, SIZE, SECONDS = 30, (160, 96), 5
ON = 0.1  # seconds that a flash and a beep last
TARGET = Target("h264", "full")


def flash_and_beep(path: Path) -> Path:
    """A clip that is white and beeps at the beginning of every second but the first."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = output.add_stream("aac", rate=48_000, layout="stereo")
        for index in range(FPS * SECONDS):
            on = index >= FPS and index % FPS < ON * FPS
            picture = np.full((SIZE[1], SIZE[0], 3), 235 if on else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            output.mux(video.encode(frame))
        t = np.arange(48_000 * SECONDS) / 48_000
        wave = np.where((t >= 1) & (t % 1 < ON), 0.5 * np.sin(2 * np.pi * 1000 * t), 0)
        for start in range(0, len(wave), 1024):
            block = np.ascontiguousarray(np.tile(wave[start : start + 1024], (2, 1)), np.float32)
            sound = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, start, Fraction(1, 48_000)
            output.mux(audio.encode(sound))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    return path


def rises(times: NDArray[np.float64], on: NDArray[np.bool_], apart: float = 0.5) -> list[float]:
    """When it comes on, leaving out what follows within half a second."""
    lit = times[on]
    first = np.diff(lit, prepend=-apart - 1) > apart
    return [float(when) for when in lit[first]]


def offsets(path: Path) -> list[float]:
    """How much later than its flash each beep begins, seconds."""
    with av.open(str(path)) as file:
        shown = [(float(f.pts * f.time_base), f.to_ndarray()[: f.height].mean())
                 for f in file.decode(video=0)]  # fmt: skip
    with av.open(str(path)) as file:
        heard = [(float(f.pts * f.time_base), np.abs(f.to_ndarray()[0])) for f in
                 file.decode(audio=0)]  # fmt: skip
    flashes = rises(np.array([t for t, _ in shown]), np.array([level > 128 for _, level in shown]))
    times = np.concatenate([t + np.arange(len(wave)) / 48_000 for t, wave in heard])
    beeps = rises(times, np.concatenate([wave for _, wave in heard]) > 0.1)
    assert flashes and beeps
    # A beep belongs to the flash that it is within half a second of.
    return [min((b - f for b in beeps), key=abs) for f in flashes if f < beeps[-1] + 0.5]


@pytest.mark.parametrize("delay", [0, 300, -300])
def test_a_relay_shifts_the_sound_as_asked(tmp_path: Path, delay: int) -> None:
    clip, target = flash_and_beep(tmp_path / "clip.mp4"), tmp_path / "out.mkv"
    settings = LiveSettings(
        precision="fp32", threads=1, enabled=False, size=SIZE, audio_delay_ms=delay,
        start_bitrate=300_000,
    )  # fmt: skip
    shelf = StyleShelf(packs.tiny_pack(tmp_path))
    with Relay(
        parse_source(str(clip)), [parse_sink(str(target))], shelf, settings, say=lambda _: None
    ) as relay:
        relay.start()
        assert relay.over.wait(60)
    found = offsets(target)
    assert len(found) >= 2
    assert np.median(found) == pytest.approx(delay / 1000, abs=0.05)


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LiveStream]:
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, start_bitrate=300_000)
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    yield stream
    stream.close()


@pytest.mark.parametrize("delay", [-2001, 2001])
def test_the_delay_is_bounded(stream: LiveStream, delay: int) -> None:
    with pytest.raises(InputError, match="-2000 to 2000 ms"):
        stream.set_control(ControlChange(audio_delay_ms=delay))
    assert stream.control.audio_delay_ms == 0
    with pytest.raises(ValueError):
        LiveSettings(audio_delay_ms=delay)


def test_the_picture_is_held_back_and_released_while_it_runs(stream: LiveStream) -> None:
    """Time stamps rise throughout, and are as late as asked in the end."""
    watcher = Watcher(stream)
    pushed: list[float] = []

    def push(_: int) -> None:
        pushed.append(time.monotonic())
        stream.push(grey(90, *SIZE), pushed[-1])

    with camera(stream, push, FPS):
        watcher.wait_pictures(5)
        stream.set_control(ControlChange(audio_delay_ms=-500))
        before = len(watcher.pictures)
        watcher.wait_pictures(before + 40)
        held = watcher.pictures[-1].pts / 90_000
        assert any(held == pytest.approx(when + 0.5, abs=0.001) for when in pushed)
        stream.set_control(ControlChange(audio_delay_ms=0))
        before = len(watcher.pictures)
        watcher.wait_pictures(before + 60)
        last = watcher.pictures[-1].pts / 90_000
        assert any(last == pytest.approx(when, abs=0.001) for when in pushed)
    times = [packet.pts for packet in watcher.pictures]
    assert (np.diff(times) > 0).all()


def test_sound_comes_later_and_its_queue_is_larger_by_that() -> None:
    shift, given, dropped = 1.5, [], []
    done = Event()

    def deliver(packet: av.Packet, _codec: str) -> None:
        given.append((packet.pts, time.monotonic()))
        if len(given) == 5:
            done.set()

    track = SoundTrack(
        "test",
        delay=lambda: 0.0,
        shift=lambda: shift,
        wanted=lambda: {"opus"},
        deliver=deliver,
        drop=lambda: dropped.append(1),
    )
    begin = time.monotonic()
    for index in range(200):  # four seconds
        track.push(np.zeros((960, 2), np.int16), begin + index / 50)
    assert dropped == []
    assert done.wait(30)
    track.close()
    assert given[0][0] + 312 == pytest.approx(48_000 * (begin + shift), abs=2)
    for pts, when in given:
        assert when >= (pts + 312) / 48_000 - 1e-3


def test_pictures_keep_their_order_whatever_they_wait_for() -> None:
    given: list[int] = []
    hold = Hold("test", lambda packets: given.append(packets[TARGET]))  # type: ignore[arg-type]
    hold.put({TARGET: 0}, 0)  # type: ignore[dict-item]
    assert given == [0], "nothing is to wait for"
    for index, seconds in enumerate((0.2, 0.0, 0.1, 0.0), 1):
        hold.put({TARGET: index}, seconds)  # type: ignore[dict-item]
    deadline = time.monotonic() + 30
    while len(given) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert given == [0, 1, 2, 3, 4]
    hold.put({TARGET: 5}, 1000)  # type: ignore[dict-item]
    hold.close()
    assert given == [0, 1, 2, 3, 4]
