"""Decisions about time as plain values: times come in, in seconds, and no clock is read."""

from __future__ import annotations

KEY_FRAME_INTERVAL = 0.25
_EARLY = 0.25  # of an interval: a camera's jitter is no higher rate
_OLDEST = 2.0
_FARTHEST_AHEAD = 2.0


def plausible(captured: float, now: float) -> float:
    """`captured`, or `now` where it cannot be true: over 2 s away, or no number at all."""
    return captured if now - _OLDEST <= captured <= now + _FARTHEST_AHEAD else now


class FrameRateCap:
    """Lets frames through at `fps` a second at most."""

    def __init__(self, fps: float) -> None:
        self._interval = 1 / fps
        self._due: float | None = None

    def admit(self, captured: float) -> bool:
        interval = self._interval
        due = self._due
        if due is None or not due - 2 * interval < captured < due + interval:
            self._due = captured + interval  # the first one, late, or a clock that jumped
            return True
        if captured < due - _EARLY * interval:
            return False
        self._due = due + interval
        return True


class KeyFrameGate:
    """Coalesces the requests for key frames of one encoder: one in 250 ms at most."""

    def __init__(self) -> None:
        self._last = float("-inf")
        self._asked: float | None = None

    def ask(self, now: float) -> None:
        """Somebody needs a key frame."""
        if self._asked is None:
            self._asked = now

    @property
    def due_at(self) -> float | None:
        """When the key frame that was asked for may be made; None: nobody asked."""
        return None if self._asked is None else max(self._asked, self._last + KEY_FRAME_INTERVAL)

    def is_due(self, now: float) -> bool:
        due_at = self.due_at
        return due_at is not None and now >= due_at

    def made(self, now: float) -> None:
        """A key frame was made, asked for or not."""
        self._last, self._asked = now, None
