"""RTP time stamps to one clock and back (RFC 3550 sections 5.1 and 6.4.1)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

JUMP = 1.0  # seconds; clocks that disagree by more were set anew
WINDOW = 5.0  # seconds over which the least delay is taken
NTP_UNIX = 2_208_988_800  # seconds from 1900 to 1970
_TICK = 0.001  # seconds by which two frames of a track differ at least
_WRAP = 1 << 32


def ntp_to_seconds(ntp: int) -> float:
    """Unix time of a 64-bit NTP time stamp."""
    return ntp / _WRAP - NTP_UNIX


def seconds_to_ntp(seconds: float) -> int:
    """The 64-bit NTP time stamp of a Unix time."""
    return int((seconds + NTP_UNIX) * _WRAP)


class Unwrapper:
    """32-bit time stamps as ever-growing numbers; packets may come out of order."""

    def __init__(self) -> None:
        self._last: int | None = None

    def __call__(self, timestamp: int) -> int:
        if self._last is None:
            self._last = timestamp
        step = (timestamp - self._last + _WRAP // 2) % _WRAP - _WRAP // 2
        self._last += step
        return self._last


class LeastDelay:
    """The least of the values of the last 5 to 10 s: what a clock lags when the way was free.

    A value more than a second off means that a clock was set: it counts alone from then on.
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self._recent = float("inf")
        self._before = float("inf")
        self._since = 0.0

    def add(self, value: float, now: float) -> None:
        if self.value is None or abs(value - self.value) > JUMP:
            self._recent = self._before = value
            self._since = now
        elif now - self._since > WINDOW:
            self._before, self._recent, self._since = self._recent, value, now
        self._recent = min(self._recent, value)
        self.value = min(self._recent, self._before)


@dataclass
class _Track:
    rate: int
    unwrap: Unwrapper = field(default_factory=Unwrapper)
    arrival: LeastDelay = field(default_factory=LeastDelay)
    report: tuple[float, int] | None = None
    last: float = float("-inf")


class SourceClock:
    """When the frames of a publisher were captured, in seconds of our monotonic clock.

    The sender reports of both tracks carry the publisher's own clock, so that sound and picture
    keep their distance. Its distance to ours is the least seen on the way of a report or, where
    that is less, of a frame. A track without (believable) reports is placed by the arrival of
    its packets. Thread safe.

    Args:
        rates: ticks per second of the tracks, by kind.
    """

    def __init__(self, rates: dict[str, int]) -> None:
        self._tracks = {kind: _Track(rate) for kind, rate in rates.items()}
        self._ntp = LeastDelay()
        self._lock = threading.Lock()

    def arrived(self, kind: str, timestamp: int, now: float) -> int:
        """Note a packet; gives its time stamp unwrapped."""
        with self._lock:
            track = self._tracks[kind]
            ticks = track.unwrap(timestamp)
            track.arrival.add(now - ticks / track.rate, now)
            return ticks

    def reported(self, kind: str, ntp: int, timestamp: int, now: float) -> None:
        """Note a sender report that came now; before the first packet there is none to map."""
        with self._lock:
            track = self._tracks[kind]
            if track.arrival.value is None:
                return
            seconds = ntp_to_seconds(ntp)
            self._ntp.add(now - seconds, now)
            track.report = (seconds, track.unwrap(timestamp))

    def captured(self, kind: str, ticks: int, now: float) -> float:
        """When a frame with an unwrapped time stamp was captured: grows, and is not after now."""
        with self._lock:
            track = self._tracks[kind]
            assert track.arrival.value is not None
            time = ticks / track.rate + track.arrival.value
            if track.report is not None and self._ntp.value is not None:
                seconds, origin = track.report
                sent = seconds + (ticks - origin) / track.rate
                if abs(sent + self._ntp.value - time) < JUMP:
                    # Nothing is captured after it came: then all reports were late. Both tracks
                    # move, or one that is held to `now` alone would leave the other.
                    if sent + self._ntp.value > now:
                        self._ntp.add(now - sent, now)
                    time = sent + self._ntp.value
            track.last = max(min(time, now), track.last + _TICK)
            return track.last
