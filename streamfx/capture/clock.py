"""The clock of a live source: its pictures are shown as they come, never held back."""

from __future__ import annotations

import time
from collections.abc import Callable

_WINDOW = 5.0  # seconds over which the least delay is looked for
_JUMP = 10.0  # seconds: more between two pictures is another clock


class LiveClock:
    """Maps a live source's times to time.monotonic() by the least delay seen lately.

    A picture was captured at its own time plus the least (arrival - time) of the last 5 to
    10 s: jitter on the way moves nothing, a burst at the start (of what a server kept) is
    caught up with at once, and a clock that runs faster or slower is followed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.end = 0.0
        self._clock = clock
        self._offset: float | None = None
        self._next = float("inf")  # the least of the window that is under way
        self._since = 0.0

    def position(self, when: float, lasts: float) -> float:
        """The time itself; a jump begins the clock anew."""
        if self._offset is not None and abs(when - self.end) > _JUMP:
            self._offset = None
        self.end = when + lasts
        return when

    def due(self, position: float) -> float:
        """When it was captured, which is never after now."""
        now = self._clock()
        offset = now - position
        if self._offset is None or abs(offset - self._offset) > _JUMP:
            self._offset, self._next, self._since = offset, float("inf"), now
        self._offset = min(self._offset, offset)
        self._next = min(self._next, offset)
        if now - self._since > _WINDOW:
            self._offset, self._next, self._since = self._next, float("inf"), now
        return self._offset + position

    def captured(self, when: float) -> float | None:
        """The same for sound; None before the first picture."""
        return None if self._offset is None else self._offset + when
