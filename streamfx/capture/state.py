"""How a source is doing, and the notice that it stalls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamfx.frames import Frame

STALL_SECONDS = 1.5  # without a picture; looked at four times a second, so said within 2 s

SourceState = Literal["waiting", "live", "stalled", "lost", "ended"]


@dataclass(frozen=True)
class SourceStatus:
    """How a source is doing.

    Attributes:
        state: waiting for the first picture, live, stalled (open, but no picture for 1.5 s),
            lost (it is being opened again), or ended.
        pictures: how many came.
        connects: how often it was opened.
        error: what went wrong last, "" if nothing did.
    """

    state: SourceState
    pictures: int
    connects: int
    error: str


class Destination(Protocol):
    """What a source feeds; see LiveStream."""

    @property
    def name(self) -> str: ...
    def push(self, frame: Frame, captured: float) -> None: ...
    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None: ...
    def publisher_left(self) -> None: ...
    def publisher_returned(self) -> None: ...


class Attendance:
    """Passes a source's pictures on, and tells the stream when they stop and come again.

    Any thread may call it.

    Args:
        say: takes one sentence about every change.
    """

    def __init__(
        self,
        destination: Destination,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._destination = destination
        self._say = say
        self._clock = clock
        self._lock = Lock()
        self._state: SourceState = "waiting"
        self._pictures = self._connects = 0
        self._error = ""
        self._last = clock()

    @property
    def status(self) -> SourceStatus:
        with self._lock:
            return SourceStatus(self._state, self._pictures, self._connects, self._error)

    def push(self, frame: Frame, captured: float) -> None:
        """Pass a picture on."""
        with self._lock:
            if self._state == "ended":
                return
            self._last = self._clock()
            self._pictures += 1
            before, self._state = self._state, "live"
            if before != "live":
                self._destination.publisher_returned()
        if before != "live":
            self._say("pictures come" if before == "waiting" else "pictures come again")
        self._destination.push(frame, captured)

    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None:
        """Pass sound on."""
        self._destination.push_audio(samples, captured)

    def connected(self) -> None:
        """The source was opened."""
        with self._lock:
            self._connects += 1
            self._last = self._clock()

    def look(self) -> None:
        """Notice a stall; to be called a few times a second."""
        with self._lock:
            if self._state != "live" or self._clock() - self._last < STALL_SECONDS:
                return
            self._state = "stalled"
            self._destination.publisher_left()
        self._say("no pictures come: the source stalls")

    def lost(self, error: str) -> None:
        """The source broke off, or cannot be opened."""
        with self._lock:
            before, same = self._state, self._error == error
            self._error = error
            if before == "live":
                self._destination.publisher_left()
            if before != "waiting":
                self._state = "lost"
        if not same or before == "live":
            self._say(f"{error}; trying again")

    def ended(self, error: str = "") -> None:
        """Nothing more will come."""
        with self._lock:
            self._state, self._error = "ended", error or self._error
