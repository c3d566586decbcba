"""The bitrate policy at work: what each encoder of a stream sends, and who gets which size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from streamfx.live.bank import EncoderBank
from streamfx.live.bitrate import Range, decide
from streamfx.live.fanout import Fanout, Viewer
from streamfx.live.rungs import Codec, Rung, Target

_EVERY = 1.0  # seconds


class BitratePolicy:
    """Applies `streamfx.live.bitrate` to the viewers of one stream; one thread may call it."""

    def __init__(self, fanout: Fanout, bank: EncoderBank, limits: Range) -> None:
        self._fanout = fanout
        self._bank = bank
        self._limits = limits
        self._rates: dict[Target, int] = {}
        self._applied_at = float("-inf")

    def rates(self, now: float) -> Mapping[Target, int]:
        """Bits a second of every encoder at `now`, seconds of time.monotonic().

        Once a second the viewers' reports are looked at, and viewers change their size.
        """
        if now - self._applied_at >= _EVERY:
            self._applied_at = now
            for codec in get_args(Codec):
                self._apply(codec)
        return self._rates

    def _apply(self, codec: Codec) -> None:
        viewers = [viewer for viewer in self._fanout.viewers if viewer.codec == codec]
        reports = {v: v.bandwidth for v in viewers if v.bandwidth is not None}
        on_half = {viewer for viewer in viewers if viewer.rung == "half"}
        rates = decide(reports, on_half, self._limits)
        self._rates[Target(codec, "full")] = rates.full
        self._rates[Target(codec, "half")] = rates.half
        for viewer in viewers:
            self._move(viewer, "half" if viewer in rates.on_half else "full")

    def _move(self, viewer: Viewer, rung: Rung) -> None:
        if viewer.rung != rung:
            viewer.rung = rung
            self._bank.ask_for_key_frame(Target(viewer.codec, rung))
