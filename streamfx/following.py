"""Whether a frame goes on from the one before, and how the picture moved between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamfx.motion import (
    Floats,
    Luma,
    Motion,
    just_seen,
    motion_between,
    reduce_luma,
    seen_here,
)
from streamfx.scene import Sketch, is_cut, is_gap, sketch

Size = tuple[int, int]


@dataclass(frozen=True)
class _Trace:
    """What the motion to the next frame is found from; see `streamfx.motion`."""

    luma: Luma
    known: Floats
    seen_at: Floats


@dataclass(frozen=True)
class _Seen:
    """What is kept of a frame to compare the next one with."""

    size: Size
    time: float
    sketch: Sketch
    trace: _Trace | None  # where the motion is asked for


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

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None

    def __call__(self, luma: NDArray[np.uint8], time: float) -> tuple[bool, Motion | None]:
        """Whether the past of the stream still counts, and the motion since the last frame.

        The motion is None at a start, and where it was not asked for.

        Args:
            luma: uint8 [H, W].
            time: presentation time in seconds.
        """
        size = (luma.shape[0], luma.shape[1])
        drawn = sketch(luma)
        last = self._last
        if last is not None and _starts_afresh(last, size, time, drawn):
            last = None
        motion = trace = None
        if self._motion:
            trace = _Trace(reduce_luma(luma), just_seen(), seen_here())
            if last is not None and last.trace is not None:
                past = last.trace
                motion = motion_between(past.luma, trace.luma, size, past.known, past.seen_at)
                trace = replace(trace, known=motion.known, seen_at=motion.seen_at)
        self._last = _Seen(size, time, drawn, trace)
        return last is not None, motion


def _starts_afresh(last: _Seen, size: Size, time: float, drawn: Sketch) -> bool:
    return last.size != size or is_gap(last.time, time) or is_cut(last.sketch, drawn)
