"""Whether a frame goes on from the one before, and how the picture moved between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamfx.motion import Motion, motion_between, reduce_luma
from streamfx.scene import Sketch, is_cut, is_gap, sketch

# Frames after which the past has its full share: the first, which have little past themselves, must
# not be held for long.
_SETTLED = 4

Size = tuple[int, int]


@dataclass(frozen=True)
class _Seen:
    """What is kept of a frame to compare the next one with."""

    size: Size
    time: float
    sketch: Sketch
    luma: NDArray[np.uint8] | None  # reduced, for the motion, where it is asked for


class Follower:
    """Compares each frame of a stream with the one before; one thread at a time uses it.

    A stream starts afresh at a scene cut, at a jump in time (back, or ahead by over 0.5 s), when
    the frame size changes, and after `reset`.

    Args:
        motion: whether the motion is asked for.
    """

    def __init__(self, motion: bool) -> None:
        self._motion = motion
        self._last: _Seen | None = None
        self._age = 0  # frames since it started afresh

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None
        self._age = 0

    def __call__(self, luma: NDArray[np.uint8], time: float) -> tuple[bool, Motion | None]:
        """Whether the past of the stream still counts, and the motion since the last frame.

        The motion is None at a start, and where it was not asked for.

        Args:
            luma: uint8 [H, W].
            time: presentation time in seconds.
        """
        size = (luma.shape[0], luma.shape[1])
        seen = _Seen(size, time, sketch(luma), reduce_luma(luma) if self._motion else None)
        last = self._last
        if last is not None and _starts_afresh(last, seen):
            self.reset()
            last = None
        motion = None
        if last is not None and last.luma is not None and seen.luma is not None:
            motion = motion_between(last.luma, seen.luma, size)
            if self._age < _SETTLED:
                motion = replace(motion, trust=motion.trust * (self._age / _SETTLED))
        self._last = seen
        self._age += 1
        return last is not None, motion


def _starts_afresh(last: _Seen, seen: _Seen) -> bool:
    return (
        last.size != seen.size or is_gap(last.time, seen.time) or is_cut(last.sketch, seen.sketch)
    )
