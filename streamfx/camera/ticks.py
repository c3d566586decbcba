"""A steady clock of frames; it reads no clock itself."""

from __future__ import annotations

_BEHIND = 1.0  # seconds: what is missed longer ago is not made up for


class Ticks:
    """Frames at `fps` a second from `start` on.

    Args:
        start: the time of the first frame, seconds.
    """

    def __init__(self, fps: float, start: float) -> None:
        self._interval = 1 / fps
        self._due = start

    def wait(self, now: float) -> float:
        """Seconds until the next frame, 0 if it is late; each call is one frame further."""
        self._due += self._interval
        if self._due < now - _BEHIND:
            self._due = now
        return max(0.0, self._due - now)
