"""Sources and viewers of live streams: real frames in, real packets out and decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event, Thread

import av
import numpy as np
from numpy.typing import NDArray

from streamfx.frames import Color, Frame
from streamfx.live import Codec, LiveStream

DEADLINE = 60.0  # seconds: machines that run tests may be busy
BT709 = Color(matrix=1, range=1, primaries=1, transfer=1)


def grey(level: int, width: int = 64, height: int = 48, color: Color = BT709) -> Frame:
    chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
    return Frame(np.full((height, width), level, np.uint8), chroma[0], chroma[1], color=color)


def wait_for(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until the condition holds; the test fails after the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)


class Watcher:
    """A viewer that takes everything at once and keeps it.

    Attributes:
        pictures, sounds: the packets, in order.
        arrived: time.monotonic() of each picture, and of each sound.
    """

    def __init__(self, stream: LiveStream, codec: Codec = "h264") -> None:
        self.codec = codec
        self.pictures: list[av.Packet] = []
        self.sounds: list[av.Packet] = []
        self.arrived: tuple[list[float], list[float]] = ([], [])
        self._changed = Condition()
        self._early = False
        self.viewer = None
        self.viewer = stream.subscribe(codec, self._wake)
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            if self.viewer is not None:
                now = time.monotonic()
                while (packet := self.viewer.next_video()) is not None:
                    self.pictures.append(packet)
                    self.arrived[0].append(now)
                while (packet := self.viewer.next_audio()) is not None:
                    self.sounds.append(packet)
                    self.arrived[1].append(now)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object], what: str = "it") -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), f"{what} did not happen"

    def wait_pictures(self, count: int) -> None:
        """Wait for so many pictures more."""
        goal = len(self.pictures) + count
        self.wait(lambda: len(self.pictures) >= goal, f"picture {goal}")

    def decoded(self, begin: int = 0) -> list[av.VideoFrame]:
        """The pictures from a key frame on; every packet gives one."""
        packets = self.pictures[begin:]
        frames = decode(self.codec, packets)
        assert len(frames) == len(packets)
        return frames


def decode(codec: Codec, packets: list[av.Packet]) -> list[av.VideoFrame]:
    """A receiver sees bytes and time stamps, nothing else."""
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    frames: list[av.VideoFrame] = []
    for packet in packets:
        copy = av.Packet(bytes(packet))
        copy.pts, copy.time_base = packet.pts, packet.time_base
        frames += decoder.decode(copy)
    return frames + decoder.decode(None)


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : frame.width]


@contextmanager
def camera(
    stream: LiveStream, make: Callable[[int], Frame | None], fps: float = 30.0
) -> Iterator[None]:
    """Push `make(index)`, unless it is None, at a steady rate while the block runs."""
    stop = Event()
    errors: list[BaseException] = []

    def run() -> None:
        begin = time.monotonic()
        index = 0
        try:
            while not stop.wait(max(0.0, begin + index / fps - time.monotonic())):
                frame = make(index)
                if frame is not None:
                    stream.push(frame, time.monotonic())
                index += 1
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not errors, errors
