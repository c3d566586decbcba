"""Bitrates: what a codec's encoders should send, given what its viewers say they can take.

The policy. A viewer whose report falls below half of the lower quartile of all reports goes to
the half-size rung; it comes back above 0.6 of it. The full picture gets the lower quartile of
the reports of those that stay, so that one bad line spoils nobody's picture; the half-size one
gets the lower quartile of its own viewers' reports, and at most half of the full rate. Both are
clamped to the configured range, and of a report counts no more than its upper end. Viewers that
have not reported stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key")

_LEAVE, _RETURN = 0.5, 0.6  # of the lower quartile; a viewer's estimate grows to at most 1.5
# times what it is sent, so a larger gap could never be crossed from the half-size rung.
_WORTH_IT = 0.2
_NOT_BEFORE = 2.0  # seconds


@dataclass(frozen=True)
class Range:
    """Bits a second of the full picture: at least, to begin with, at most."""

    least: int
    start: int
    most: int

    def clamp(self, rate: float) -> int:
        return int(min(max(rate, self.least), self.most))


@dataclass(frozen=True)
class Rates(Generic[Key]):
    """What to send, in bits a second, and who gets the half-size picture."""

    full: int
    half: int
    on_half: frozenset[Key]


def decide(reports: Mapping[Key, int], on_half: Set[Key], limits: Range) -> Rates[Key]:
    """Apply the policy.

    Args:
        reports: viewer -> bits a second, of those viewers that have reported.
        on_half: the viewers on the half-size rung now.
    """
    if not reports:
        return Rates(limits.start, limits.clamp(limits.start / 2), frozenset(on_half))
    # What exceeds the most that is sent tells nobody apart, and from the half-size rung no
    # estimate could follow it.
    reports = {viewer: min(rate, limits.most) for viewer, rate in reports.items()}
    quartile = _lower_quartile(list(reports.values()))
    small = {
        viewer
        for viewer, rate in reports.items()
        if rate < quartile * (_RETURN if viewer in on_half else _LEAVE)
    }
    staying = [rate for viewer, rate in reports.items() if viewer not in small]
    full = limits.clamp(_lower_quartile(staying))
    slow = [reports[viewer] for viewer in small]
    half = limits.clamp(min(_lower_quartile(slow) if slow else full, full / 2))
    silent = on_half - reports.keys()
    return Rates(full, half, frozenset(small | silent))


def is_worth_it(current: int, wanted: int, since_opened: float) -> bool:
    """Whether an encoder should change its rate, which costs a key frame: only for a change
    of over 20 %, and at most every 2 s."""
    return since_opened >= _NOT_BEFORE and abs(wanted - current) > _WORTH_IT * current


def _lower_quartile(rates: list[int]) -> float:
    return float(np.percentile(rates, 25))
