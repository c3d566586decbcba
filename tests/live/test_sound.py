"""Sound beside the picture: in step with it, encoded once, bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import packs
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.sound import SoundTrack
from watching import Watcher, camera, grey, luma, wait_for

FPS = 30
PERIOD = 1.0  # seconds from one flash and beep to the next
FLASH = 0.2  # seconds that it lasts


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LiveStream]:
    settings = LiveSettings(precision="fp32", threads=1, strength=0.25, start_bitrate=1_000_000)
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    yield stream
    stream.close()


def beep(begin: int, count: int) -> NDArray[np.int16]:
    """Samples of a sound that beeps for 50 ms at every full second."""
    t = (begin + np.arange(count)) / 48_000
    on = t % PERIOD < 0.05
    wave = np.where(on, 16_000 * np.sin(2 * np.pi * 1000 * t), 0).astype(np.int16)
    return np.stack([wave, wave], axis=1)


def beeps(packets: list[av.Packet]) -> list[float]:
    """When each beep begins, in seconds of the stream's clock."""
    decoder = av.CodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    found, quiet = [], 9600
    for packet in packets:
        for frame in decoder.decode(av.Packet(bytes(packet))):
            loud = np.abs(frame.to_ndarray()[0]) > 0.15
            for index in np.flatnonzero(loud):
                if quiet + index > 4800:
                    found.append((packet.pts + int(index)) / 48_000)
                quiet = -int(index)
            quiet += len(loud)
    return found


def test_flash_and_beep_stay_together(stream: LiveStream) -> None:
    """By time stamps, as a receiver plays them: within 40 ms of each other."""
    watcher = Watcher(stream)
    begin = time.monotonic()
    heard = 0

    def push(index: int) -> None:
        nonlocal heard
        now = time.monotonic()
        until = round((now - begin) * 48_000)
        stream.push_audio(beep(heard, until - heard), begin + heard / 48_000)
        heard = until
        flash = (now - begin) % PERIOD < FLASH
        stream.push(grey(200 if flash else 50, 160, 96), now)

    with camera(stream, push, FPS):
        watcher.wait(lambda: len(watcher.pictures) > 60 and len(watcher.sounds) > 100)
        assert 0 < stream.stats().audio_delay_ms < 1000
    stream.close()
    flashes = 0
    for packet, picture in zip(watcher.pictures, watcher.decoded(), strict=True):
        phase = (packet.pts / 90_000 - begin) % PERIOD
        if min(abs(phase - edge) for edge in (0, FLASH, PERIOD)) > 0.002:
            assert (luma(picture).mean() > 120) == (phase < FLASH), phase
            flashes += phase < FLASH
    assert flashes >= 2
    found = beeps(watcher.sounds)
    assert len(found) >= 2
    for when in found:
        assert abs((when - begin + PERIOD / 2) % PERIOD - PERIOD / 2) < 0.03
    assert (np.diff([packet.pts for packet in watcher.sounds]) == 960).all()


def test_sound_waits_for_its_picture() -> None:
    delay, given = [0.4], []
    done = Event()

    def deliver(packet: av.Packet, codec: str) -> None:
        assert codec == "opus"
        given.append((packet.pts, time.monotonic()))
        if len(given) == 10:
            done.set()

    track = SoundTrack(
        "test", delay=lambda: delay[0], wanted=lambda: {"opus"}, deliver=deliver, drop=lambda: None
    )
    begin = time.monotonic()
    track.push(np.zeros((9600, 2), np.int16), begin)
    assert done.wait(30)
    track.close()
    for pts, when in given:
        assert when >= (pts + 312) / 48_000 + 0.4 - 1e-3, "before its picture"


def test_the_queue_is_bounded_and_closing_does_not_wait() -> None:
    dropped = []
    track = SoundTrack(
        "test",
        delay=lambda: 1000.0,
        wanted=lambda: {"opus"},
        deliver=lambda _packet, _codec: None,
        drop=lambda: dropped.append(1),
    )
    for index in range(400):  # eight seconds
        track.push(np.zeros((960, 2), np.int16), time.monotonic() + index / 50)
    assert 240 <= len(dropped) <= 251
    begin = time.monotonic()
    track.close()
    assert time.monotonic() - begin < 30


def test_nobody_listens(stream: LiveStream) -> None:
    stream.push_audio(beep(0, 48_000), time.monotonic() - 1)
    watcher = Watcher(stream)
    wait_for(lambda: not stream._sound._blocks)
    stream.push_audio(beep(0, 4800), time.monotonic())
    watcher.wait(lambda: len(watcher.sounds) >= 4)
    assert watcher.sounds[0].pts / 48_000 == pytest.approx(time.monotonic(), abs=10)


def test_sound_may_be_off(tmp_path: Path) -> None:
    shelf = StyleShelf(packs.tiny_pack(tmp_path))
    stream = LiveStream("test", shelf, LiveSettings(audio=False, enabled=False))
    watcher = Watcher(stream)
    stream.push_audio(np.zeros((9600, 2), np.int16), time.monotonic())
    with camera(stream, lambda _: grey(50)):
        watcher.wait_pictures(5)
    stream.close()
    assert watcher.sounds == []
