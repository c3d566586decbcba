"""What a live stream counts and measures."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal, Protocol

import numpy as np

from streamfx.live.encoders import Packet
from streamfx.live.rungs import Target

State = Literal["waiting", "live", "paused", "closed"]
Stage = Literal["wait", "restyle", "encode", "delay"]
Size = tuple[int, int]

_STAGES: tuple[Stage, ...] = ("wait", "restyle", "encode", "delay")
_STAGE_WINDOW = 10.0  # seconds
_RATE_WINDOW = 2.0
_MOST_SAMPLES = 1200  # in a window


class Observer(Protocol):
    """Takes the measurements of a stream as they come, on the stream's threads.

    Stages and counts are those of `StreamStats`: observe("wait" | "restyle" | "encode" |
    "delay"), count("frames_in"), count("frames_restyled"), count("frames_out"),
    count("dropped", reason=…), count("key_frames", codec=…, rung=…).
    """

    def observe(self, stage: str, seconds: float) -> None:
        """A frame took that long in a stage."""

    def count(self, name: str, **labels: str) -> None:
        """Something happened once."""


class NoObserver:
    """Takes nothing."""

    def observe(self, stage: str, seconds: float) -> None:
        pass

    def count(self, name: str, **labels: str) -> None:
        pass


@dataclass(frozen=True)
class Timing:
    """Milliseconds that a stage took over the last 10 s; 0 where nothing was measured."""

    p50: float
    p95: float


@dataclass(frozen=True)
class StreamStats:
    """What a stream is doing.

    Attributes:
        state: waiting for the first frame, live, paused (the publisher left), or closed.
        connected: whether there is a publisher.
        fps_in, fps_out: frames a second over the last 2 s.
        frames_in: frames that were pushed.
        frames_restyled: frames that went through the engine.
        frames_out: pictures that were handed to viewers, a repeated one included.
        dropped: reason -> frames (or blocks of sound) that did not get as far as they should:
            superseded (a newer frame came before its turn), fps_cap, unwatched, paused (pushed
            although the publisher had left), engine (shown unstyled), encoder, sound_overflow.
        stages: wait (from push to its turn), restyle, encode (with handing out), and delay
            (from capture to having been handed out).
        bitrate: "codec/rung" -> bits a second that were sent over the last 2 s.
        key_frames: key frames that were made.
        queued: what waits now: frames to "restyle" and pictures to "encode" (one each at most),
            packets of "video" and "audio" for the viewer who is furthest behind.
        viewers: who is watching.
        size_in, size_out: (width, height), None before the first frame.
        working_scale: of the sides that the engine works at.
        audio_delay_ms: how long sound is held back.
    """

    state: State
    connected: bool
    fps_in: float
    fps_out: float
    frames_in: int
    frames_restyled: int
    frames_out: int
    dropped: Mapping[str, int]
    stages: Mapping[str, Timing]
    bitrate: Mapping[str, int]
    key_frames: int
    queued: Mapping[str, int]
    viewers: int
    size_in: Size | None
    size_out: Size | None
    working_scale: float
    audio_delay_ms: float


class Window:
    """Values of the last seconds, bounded in number."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: deque[tuple[float, float]] = deque(maxlen=_MOST_SAMPLES)
        self._first: float | None = None

    def add(self, now: float, value: float) -> None:
        if self._first is None:
            self._first = now
        self._values.append((now, value))

    def values(self, now: float) -> list[float]:
        return [value for when, value in self._values if when > now - self._seconds]

    def rate(self, now: float) -> float:
        """The sum of the values per second."""
        if self._first is None:
            return 0.0
        return sum(self.values(now)) / min(self._seconds, max(0.5, now - self._first))


class Tally:
    """Counts of one stream; any thread may add to it."""

    def __init__(self, observer: Observer, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._clock = clock
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._stages = {stage: Window(_STAGE_WINDOW) for stage in _STAGES}
        self._rates = {name: Window(_RATE_WINDOW) for name in ("frames_in", "frames_out")}
        self._bits: dict[Target, Window] = {}

    def count(self, name: Literal["frames_in", "frames_restyled", "frames_out"]) -> None:
        """One more frame."""
        with self._lock:
            self._counts[name] += 1
            if name in self._rates:
                self._rates[name].add(self._clock(), 1)
        self._observer.count(name)

    def drop(self, reason: str) -> None:
        """A frame did not get as far as it should."""
        with self._lock:
            self._dropped[reason] += 1
        self._observer.count("dropped", reason=reason)

    def measure(self, stage: Stage, seconds: float) -> None:
        """A frame took that long in a stage."""
        with self._lock:
            self._stages[stage].add(self._clock(), seconds)
        self._observer.observe(stage, seconds)

    def sent(self, packets: Mapping[Target, Packet]) -> None:
        """The packets of one frame were handed out."""
        with self._lock:
            now = self._clock()
            for target, packet in packets.items():
                window = self._bits.setdefault(target, Window(_RATE_WINDOW))
                window.add(now, packet.size * 8)
        for target, packet in packets.items():
            if packet.is_keyframe:
                with self._lock:
                    self._counts["key_frames"] += 1
                self._observer.count("key_frames", codec=target.codec, rung=target.rung)

    def stats(
        self,
        *,
        state: State,
        connected: bool,
        queued: Mapping[str, int],
        viewers: int,
        size_in: Size | None,
        size_out: Size | None,
        working_scale: float,
        audio_delay: float,
    ) -> StreamStats:
        """Everything counted so far, with what only the stream knows; seconds in, ms out."""
        with self._lock:
            now = self._clock()
            stages = {stage: window.values(now) for stage, window in self._stages.items()}
            rates = {name: window.rate(now) for name, window in self._rates.items()}
            bits = {target: round(window.rate(now)) for target, window in self._bits.items()}
            counts, dropped = self._counts.copy(), dict(self._dropped)
        return StreamStats(
            state=state,
            connected=connected,
            fps_in=rates["frames_in"],
            fps_out=rates["frames_out"],
            frames_in=counts["frames_in"],
            frames_restyled=counts["frames_restyled"],
            frames_out=counts["frames_out"],
            dropped=dropped,
            stages={stage: _timing(values) for stage, values in stages.items()},
            bitrate={f"{t.codec}/{t.rung}": rate for t, rate in bits.items() if rate},
            key_frames=counts["key_frames"],
            queued=queued,
            viewers=viewers,
            size_in=size_in,
            size_out=size_out,
            working_scale=working_scale,
            audio_delay_ms=1000 * audio_delay,
        )


def _timing(seconds: list[float]) -> Timing:
    if not seconds:
        return Timing(0.0, 0.0)
    p50, p95 = np.percentile(seconds, (50, 95))
    return Timing(1000 * float(p50), 1000 * float(p95))
