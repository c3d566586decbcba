"""The working resolution: how large a picture the machine can restyle in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

_TOO_MUCH = 0.9  # of the frame interval
_ROOM = 0.75  # of the frame interval, for what the next larger step is expected to cost
_DOWN_AFTER = 1.0  # seconds
_UP_AFTER = 5.0
_UP_AFTER_AT_MOST = 80.0
_FEWEST = 5  # frames that say something


class Ladder:
    """Picks the working scale from the work that frames took. It has no clock.

    A step down: the 90th percentile of the work within a second exceeds 0.9 of the frame
    interval. A step up: for five seconds, that percentile, scaled to the pixels of the next
    step, would have stayed below 0.75 of it. A step up that had to be taken back at once
    doubles the wait for the next one, up to 80 s.

    Args:
        scales: of the sides, falling from 1.

    Attributes:
        scale: the one to work at now.
    """

    def __init__(self, scales: Sequence[float]) -> None:
        self._scales = tuple(scales)
        self._step = 0
        self._since = float("inf")  # when the current step began
        self._patience = _UP_AFTER
        self._went_up = False
        self._loads: deque[tuple[float, float]] = deque()

    @property
    def scale(self) -> float:
        return self._scales[self._step]

    def observe(self, now: float, work: float, interval: float) -> float:
        """Take in one frame, in seconds: when it was done, what it took, and the time between
        frames. Returns the scale for the next frame."""
        if now < self._since:  # the first frame, or a clock that went back
            self._restart(now)
        self._loads.append((now, work / interval))
        while self._loads[0][0] < now - max(_DOWN_AFTER, self._patience):
            self._loads.popleft()
        stayed = now - self._since
        if stayed >= _DOWN_AFTER and self._load(now - _DOWN_AFTER) > _TOO_MUCH:
            if self._step + 1 < len(self._scales):
                hasty = self._went_up and stayed < self._patience
                self._patience = min(2 * self._patience, _UP_AFTER_AT_MOST) if hasty else _UP_AFTER
                self._went_up = False
                self._step += 1
                self._restart(now)
        elif self._step > 0 and stayed >= self._patience:
            growth = (self._scales[self._step - 1] / self.scale) ** 2
            if self._load(now - self._patience) * growth < _ROOM:
                self._went_up = True
                self._step -= 1
                self._restart(now)
        return self.scale

    def _load(self, since: float) -> float:
        """The 90th percentile: up to 1 where frames keep up, NaN where too few came."""
        loads = [load for time, load in self._loads if time >= since]
        return float(np.percentile(loads, 90)) if len(loads) >= _FEWEST else float("nan")

    def _restart(self, now: float) -> None:
        self._since = now
        self._loads.clear()
