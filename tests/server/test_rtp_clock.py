"""RTP time stamps to one clock, through sender reports, jitter and clocks that jump."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.server.rtp_clock import (
    SourceClock,
    Unwrapper,
    ntp_to_seconds,
    seconds_to_ntp,
)

VIDEO, AUDIO = 90_000, 48_000
UNIX = 1_700_000_000.0  # what the publisher's clock says at our 100.0


class Sender:
    """A publisher whose tracks begin at odd RTP time stamps; all in our clock's seconds."""

    def __init__(self) -> None:
        self.clock = SourceClock({"video": VIDEO, "audio": AUDIO})
        self.rates = {"video": VIDEO, "audio": AUDIO}
        self.origins = {"video": 4_294_900_000, "audio": 77}
        self.ticks: dict[str, int] = {}
        self.unix = UNIX - 100.0

    def rtp(self, kind: str, captured: float) -> int:
        return (self.origins[kind] + round(captured * self.rates[kind])) % 2**32

    def packet(self, kind: str, captured: float, now: float) -> float:
        ticks = self.clock.arrived(kind, self.rtp(kind, captured), now)
        return self.clock.captured(kind, ticks, now)

    def report(self, kind: str, captured: float, now: float) -> None:
        ntp = seconds_to_ntp(captured + self.unix)
        self.clock.reported(kind, ntp, self.rtp(kind, captured), now)


def test_before_reports_packets_count_by_their_arrival() -> None:
    sender = Sender()
    assert sender.packet("video", 100.0, 100.03) == pytest.approx(100.03)
    assert sender.packet("video", 100.1, 100.12) == pytest.approx(100.12)  # the way was freer
    assert sender.packet("video", 100.2, 100.27) == pytest.approx(100.22)  # jitter is taken out


def test_reports_keep_sound_and_picture_together() -> None:
    sender = Sender()
    sender.packet("video", 100.0, 100.2)  # pictures take 180 ms longer to be sent
    sender.packet("audio", 100.0, 100.02)
    sender.report("audio", 100.05, 100.06)
    sender.report("video", 100.05, 100.07)
    for n in range(1, 20):
        captured = 100.1 + n / 10
        video = sender.packet("video", captured, captured + 0.2)
        audio = sender.packet("audio", captured, captured + 0.02)
        assert abs(video - audio) < 0.002
        assert video == pytest.approx(captured + 0.01, abs=0.002)


def test_one_report_can_be_late_without_moving_anything() -> None:
    sender = Sender()
    sender.packet("video", 100.0, 100.01)
    sender.report("video", 100.0, 100.01)
    sender.report("video", 101.0, 101.4)
    assert sender.packet("video", 102.0, 102.05) == pytest.approx(102.01, abs=0.002)


def test_reports_that_are_all_late_part_nothing() -> None:
    """As where the machine is so busy that it looks at them half a second later."""
    sender = Sender()
    sender.packet("video", 100.0, 100.3)
    sender.packet("audio", 100.0, 100.02)
    for kind in ("video", "audio"):
        sender.report(kind, 100.0, 100.5)
    for n in range(1, 20):
        captured = 100.5 + n / 10
        audio = sender.packet("audio", captured, captured + 0.02)
        video = sender.packet("video", captured, captured + 0.3)
        assert abs(video - audio) < 0.002
        assert video == pytest.approx(captured + 0.02, abs=0.002)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 5.0, -86_400.0])
def test_a_publisher_whose_clock_is_set_stays_in_time(jump: float) -> None:
    sender = Sender()
    for kind in ("video", "audio"):
        sender.packet(kind, 100.0, 100.01)
        sender.report(kind, 100.0, 100.01)
    sender.unix += jump
    sender.report("audio", 101.0, 101.01)  # that of the picture comes later
    assert sender.packet("video", 101.1, 101.15) == pytest.approx(101.11, abs=0.05)
    assert sender.packet("audio", 101.1, 101.12) == pytest.approx(101.11, abs=0.02)
    sender.report("video", 101.2, 101.22)
    assert sender.packet("video", 101.3, 101.35) == pytest.approx(101.31, abs=0.02)


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_time_stamps_that_start_anew_are_placed_by_arrival(jump: float) -> None:
    sender = Sender()
    sender.packet("video", 100.0, 100.01)
    sender.report("video", 100.0, 100.01)
    last = sender.packet("video", 100.1, 100.11)
    sender.origins["video"] += round(jump * VIDEO)
    now = sender.packet("video", 100.2, 100.23)
    assert last < now <= 100.23
    assert now == pytest.approx(100.22, abs=0.05)


def test_a_report_without_time_is_not_believed() -> None:
    sender = Sender()
    sender.packet("video", 100.0, 100.01)
    sender.clock.reported("video", 0, 0, 100.02)
    assert sender.packet("video", 100.1, 100.11) == pytest.approx(100.11, abs=0.002)


@given(
    st.lists(
        st.tuples(st.floats(-0.05, 0.2), st.floats(0.0, 0.5), st.booleans()),
        min_size=1,
        max_size=50,
    )
)
def test_times_grow_and_are_never_ahead(steps: list[tuple[float, float, bool]]) -> None:
    sender = Sender()
    captured, now, last = 100.0, 100.0, float("-inf")
    for step, delay, report in steps:
        captured += step
        now = max(now + 0.002, captured + delay)
        if report:
            sender.report("video", captured, now)
        time = sender.packet("video", captured, now)
        assert last < time <= max(now, last + 0.0011)
        last = time


def test_time_stamps_unwrap_in_both_directions() -> None:
    unwrap = Unwrapper()
    assert [unwrap(t) for t in (2**32 - 10, 5, 2**32 - 3, 20)] == [
        2**32 - 10,
        2**32 + 5,
        2**32 - 3,
        2**32 + 20,
    ]


def test_ntp_time_stamps() -> None:
    assert seconds_to_ntp(0) == 2_208_988_800 << 32  # RFC 868: 1970 seen from 1900
    assert ntp_to_seconds(seconds_to_ntp(UNIX + 0.25)) == pytest.approx(UNIX + 0.25, abs=1e-6)
