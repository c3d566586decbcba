"""Whether a frame goes on from the one before, and how the picture moved between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from streamfx.canvas import carry, hang
from streamfx.flow import Floats, Luma
from streamfx.motion import Motion, just_seen, motion_between, reduce_luma
from streamfx.scene import Sketch, is_cut, is_gap, sketch

Size = tuple[int, int]


@dataclass(frozen=True)
class _Trace:
    """What the motion to the next frame is found from; see `streamfx.motion`."""

    luma: Luma
    known: Floats


@dataclass(frozen=True)
class _Canvas:
    """Places on the canvas, of a stream's first frame and of its last; see `streamfx.canvas`."""

    hung: Floats
    places: Floats


@dataclass(frozen=True)
class _Seen:
    """What is kept of a frame to compare the next one with."""

    size: Size
    time: float
    sketch: Sketch
    trace: _Trace | None  # where the motion is asked for
    canvas: _Canvas | None  # where places are


class Step(NamedTuple):
    """How a frame follows on the one before.

    Attributes:
        goes_on: whether the past of the stream still counts.
        motion: since the last frame; None at a start, and where it was not asked for.
        places: on the canvas (`streamfx.canvas`); None where they were not asked for.
    """

    goes_on: bool
    motion: Motion | None
    places: Floats | None


class Follower:
    """Compares each frame of a stream with the one before; one thread at a time uses it.

    A stream starts afresh at a scene cut, at a jump in time (back, or ahead by over 0.5 s), when
    the frame size changes, and after `reset`.

    Args:
        motion: whether the motion is asked for.
        places: whether places on the canvas are.
    """

    def __init__(self, motion: bool, places: bool = False) -> None:
        self._motion = motion
        self._places = places
        self._last: _Seen | None = None

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None

    def __call__(self, luma: Luma, time: float) -> Step:
        """How the next frame follows on the last one.

        Args:
            luma: uint8 [H, W].
            time: presentation time in seconds.
        """
        size = (luma.shape[0], luma.shape[1])
        drawn = sketch(luma)
        last = self._last
        if last is not None and _starts_afresh(last, size, time, drawn):
            last = None
        motion = trace = canvas = None
        if self._motion:
            trace = _Trace(reduce_luma(luma), just_seen())
            if last is not None and last.trace is not None:
                motion = motion_between(last.trace.luma, trace.luma, size, last.trace.known)
                trace = replace(trace, known=motion.known)
        if self._places:
            canvas = _hung(luma) if last is None else last.canvas
            if canvas is not None and motion is not None:
                canvas = replace(canvas, places=carry(canvas.places, motion, canvas.hung))
        self._last = _Seen(size, time, drawn, trace, canvas)
        return Step(last is not None, motion, None if canvas is None else canvas.places)


def _hung(luma: Luma) -> _Canvas:
    places = hang(luma)
    return _Canvas(places, places)


def _starts_afresh(last: _Seen, size: Size, time: float, drawn: Sketch) -> bool:
    return last.size != size or is_gap(last.time, time) or is_cut(last.sketch, drawn)
