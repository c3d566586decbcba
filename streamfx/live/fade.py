"""Fades: from the look that is on screen to another one, linearly in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Look:
    """A style code, float32 [S], and the strength that it shows with, 0..1."""

    code: NDArray[np.float32]
    strength: float


class Fade:
    """What every frame looks like. It has no clock: times come with the frames, in seconds."""

    def __init__(self, look: Look) -> None:
        self._shown = self._begin = self._end = look
        self._last: float | None = None
        self._begun = 0.0
        self._seconds = 0.0

    def aim(self, look: Look, seconds: float) -> None:
        """Go from what was shown last to `look`, `seconds` after that frame."""
        # What does not show needs no way to the new code.
        nothing = self._shown.strength == 0
        self._begin = Look(look.code if nothing else self._shown.code, self._shown.strength)
        # Nor is there a way from what shows to a code that will not.
        self._end = look if look.strength > 0 else Look(self._begin.code, 0.0)
        self._seconds = seconds if self._last is not None else 0.0
        self._begun = self._last or 0.0

    def at(self, time: float) -> Look:
        """The look of a frame at `time`."""
        self._last = time
        done = 1.0
        if self._seconds > 0:
            done = min(1.0, max(0.0, (time - self._begun) / self._seconds))
        if done == 1.0:
            self._shown, self._seconds = self._end, 0.0
        else:
            begin, end = self._begin, self._end
            code = begin.code + np.float32(done) * (end.code - begin.code)
            strength = begin.strength + done * (end.strength - begin.strength)
            self._shown = Look(code, strength)
        return self._shown
