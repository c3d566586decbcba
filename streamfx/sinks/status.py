"""How a sink is doing."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

SinkState = Literal["waiting", "connecting", "sending", "retrying", "closed"]

_DELAYS = 31  # pictures that `late_ms` is the median of


@dataclass(frozen=True)
class SinkStatus:
    """How a sink is doing.

    Attributes:
        shown: its name, without a secret.
        state: waiting for the first picture, connecting, sending, retrying (after an error,
            until it is tried again), or closed.
        pictures: how many were sent.
        sent_bytes: of pictures and sound, before they were put into a container.
        dropped: packets that were left out because the sink was too slow.
        connects: how often it began.
        late_ms: of a camera, how much later than it was captured a picture is shown, the median
            of the last ones; 0 before the first. What is sent has time stamps instead.
        error: what went wrong last, "" if nothing did.
    """

    shown: str
    state: SinkState = "waiting"
    pictures: int = 0
    sent_bytes: int = 0
    dropped: int = 0
    connects: int = 0
    late_ms: float = 0.0
    error: str = ""


class Board:
    """Holds a sink's status, for any thread.

    Args:
        say: takes one sentence about every change worth knowing.
    """

    def __init__(self, shown: str, say: Callable[[str], None]) -> None:
        self._lock = Lock()
        self._status = SinkStatus(shown)
        self._late: deque[float] = deque(maxlen=_DELAYS)
        self._say = say

    @property
    def status(self) -> SinkStatus:
        with self._lock:
            return self._status

    def enter(self, state: SinkState) -> None:
        """The sink is in another state."""
        with self._lock:
            self._status = replace(self._status, state=state)

    def began(self) -> None:
        """It is being sent to."""
        with self._lock:
            again = self._status.connects > 0
            self._status = replace(
                self._status, state="sending", connects=self._status.connects + 1, error=""
            )
        self._say(f"{self._status.shown}: sending" + (" again" if again else ""))

    def failed(self, error: str) -> None:
        """It broke off, and is tried again later; the same error is said once."""
        with self._lock:
            known = self._status.error == error
            self._status = replace(self._status, state="retrying", error=error)
        if not known:
            self._say(f"{self._status.shown}: {error}; trying again")

    def sent(self, size: int, *, picture: bool) -> None:
        """A packet was handed over."""
        with self._lock:
            self._status = replace(
                self._status,
                pictures=self._status.pictures + picture,
                sent_bytes=self._status.sent_bytes + size,
            )

    def was_late(self, seconds: float) -> None:
        """A picture was shown so long after it was captured."""
        with self._lock:
            self._late.append(1000 * seconds)
            self._status = replace(self._status, late_ms=statistics.median(self._late))

    def lost(self, packets: int) -> None:
        """Packets were left out."""
        with self._lock:
            self._status = replace(self._status, dropped=self._status.dropped + packets)
