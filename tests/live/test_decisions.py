"""The decisions of a live stream as plain values: no thread, no clock, no sleeping."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamfx.errors import InputError
from streamfx.frames import Color, Frame
from streamfx.live import LiveSettings, level_for, profile_level_id
from streamfx.live.bitrate import Range, decide, is_worth_it
from streamfx.live.fade import Fade, Look
from streamfx.live.ladder import Ladder
from streamfx.live.pacing import FrameRateCap, KeyFrameGate, plausible
from streamfx.live.picture import (
    fitted_size,
    half_size,
    letterboxed,
    outgoing_size,
    resized,
    scaled_size,
    with_notice,
)
from streamfx.live.restyle import retry_after
from streamfx.live.sound import Framer
from watching import grey

SCALES = (1.0, 0.75, 0.5)
INTERVAL = 1 / 30
LIMITS = Range(100_000, 1_000_000, 4_000_000)

# Fades


def look(*code: float, strength: float = 1.0) -> Look:
    return Look(np.array(code, np.float32), strength)


def test_a_fade_is_linear_from_what_is_shown() -> None:
    fade = Fade(look(0, 0))
    assert fade.at(10.0).code.tolist() == [0, 0]
    fade.aim(look(1, 2, strength=0.5), 1.0)
    for time, part in ((10.0, 0), (10.25, 0.25), (10.5, 0.5)):
        shown = fade.at(time)
        np.testing.assert_allclose(shown.code, [part, 2 * part])
        assert shown.strength == pytest.approx(1 - part / 2)
    fade.aim(look(0.5, 0, strength=0.75), 0.5)  # in the middle of it
    shown = fade.at(10.75)
    np.testing.assert_allclose(shown.code, [0.5, 0.5])
    assert shown.strength == 0.75
    assert fade.at(99.0).code.tolist() == [0.5, 0]


def test_what_does_not_show_is_no_place_to_fade_from_or_to() -> None:
    fade = Fade(look(1, strength=0))
    fade.at(0)
    fade.aim(look(5), 1.0)
    assert fade.at(0.5).code.tolist() == [5]
    assert fade.at(0.5).strength == 0.5
    fade.at(2)
    fade.aim(look(9, strength=0), 1.0)
    assert fade.at(2.5).code.tolist() == [5]
    assert fade.at(3).strength == 0


def test_a_fade_of_no_time_and_one_before_the_first_frame_are_at_once() -> None:
    fade = Fade(look(0))
    fade.aim(look(1), 5.0)
    assert fade.at(3.0).code.tolist() == [1]
    fade.aim(look(2), 0.0)
    assert fade.at(3.0).code.tolist() == [2]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 2), st.lists(st.floats(0.001, 0.5), max_size=8)),
        max_size=6,
    )
)
def test_a_fade_goes_one_way_and_never_past(
    changes: list[tuple[float, float, list[float]]],
) -> None:
    fade, time = Fade(look(0.5, strength=0.5)), 0.0
    shown = fade.at(time)
    for target, seconds, steps in changes:
        fade.aim(look(target, strength=target), seconds)
        for step in steps:
            time += step
            last, shown = shown, fade.at(time)
            low, high = sorted((last.strength, target))
            assert low - 1e-9 <= shown.strength <= high + 1e-9


# The working resolution


def walk(ladder: Ladder, seconds: float, load: object, start: float = 0.0) -> list[float]:
    """Frames at 30 a second whose work is `load(scale)` of an interval."""
    scales = []
    for index in range(round(seconds / INTERVAL)):
        work = load(ladder.scale) * INTERVAL  # type: ignore[operator]
        scales.append(ladder.observe(start + index * INTERVAL, work, INTERVAL))
    return scales


def test_the_ladder_steps_down_after_a_second_and_comes_back_after_five() -> None:
    ladder = Ladder(SCALES)
    scales = walk(ladder, 4, lambda scale: 1.2 * scale**2)
    assert scales[:29] == [1.0] * 29
    assert scales[-1] == 0.75, "1.2 at 3/4 is 0.675: it fits"
    scales = walk(ladder, 10, lambda scale: 0.5 * scale**2, start=4)
    back = scales.index(1.0)
    assert 0.75 in scales
    assert 3 / INTERVAL < back < 6 / INTERVAL
    assert set(scales[back:]) == {1.0}


def test_the_ladder_has_an_end_and_stays_where_it_just_fits() -> None:
    ladder = Ladder(SCALES)
    assert walk(ladder, 10, lambda scale: 9.0)[-1] == 0.5
    # 0.8 of the interval at full size: no step down, and no way back up to it either.
    assert set(walk(Ladder(SCALES), 20, lambda scale: 0.8 * scale**2)) == {1.0}
    ladder = Ladder(SCALES)
    walk(ladder, 31 * INTERVAL, lambda scale: 1.2)
    assert ladder.scale == 0.75
    assert set(walk(ladder, 30, lambda scale: 0.8 * scale**2, start=31 * INTERVAL)) == {0.75}


def test_a_step_up_that_fails_is_tried_ever_more_rarely() -> None:
    """A machine on which the larger size costs far more than its pixels."""
    ladder = Ladder((1.0, 0.75))
    scales = walk(ladder, 200, lambda scale: 1.5 if scale == 1 else 0.3)
    ups = [index for index, (a, b) in enumerate(pairwise(scales)) if b > a]
    waits = np.diff(ups) * INTERVAL
    assert len(ups) >= 4
    assert (np.diff(waits) > 3).all(), waits


def test_single_slow_frames_change_nothing() -> None:
    ladder = Ladder(SCALES)
    count = iter(range(10_000))
    assert set(walk(ladder, 20, lambda _: 3.0 if next(count) % 15 == 0 else 0.6)) == {1.0}


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 3)), max_size=300))
def test_the_ladder_moves_one_step_at_a_time(frames: list[tuple[float, float]]) -> None:
    ladder, now, last = Ladder(SCALES), 0.0, 1.0
    moved = 0.0
    for step, load in frames:
        now += step
        scale = ladder.observe(now, load * INTERVAL, INTERVAL)
        assert abs(SCALES.index(scale) - SCALES.index(last)) <= 1
        if scale != last:
            assert now - moved >= 1.0, "two steps within a second"
            moved = now
        last = scale


# Bitrates


def test_one_bad_line_spoils_nobodys_rate() -> None:
    rates = decide({"a": 3_000_000, "b": 3_000_000, "bad": 200_000, "c": 3_500_000}, set(), LIMITS)
    assert rates.on_half == {"bad"}
    assert rates.full == 3_000_000
    assert rates.half == 200_000
    rates = decide({"good": 3_000_000, "bad": 300_000}, set(), LIMITS)
    assert (rates.full, rates.on_half) == (3_000_000, {"bad"})


def test_the_lower_quartile_counts() -> None:
    reports = {index: 1_000_000 + 100_000 * index for index in range(5)}
    rates = decide(reports, set(), LIMITS)
    assert (rates.full, rates.half, rates.on_half) == (1_100_000, 550_000, frozenset())


def test_without_reports_it_starts() -> None:
    rates = decide({}, {"silent"}, LIMITS)
    assert (rates.full, rates.half, rates.on_half) == (1_000_000, 500_000, {"silent"})


def test_a_viewer_does_not_swing_between_the_sizes() -> None:
    def reports(bad: int) -> dict[str, int]:
        return {"a": 2_000_000, "b": 2_000_000, "c": 2_000_000, "d": 2_000_000, "x": bad}

    assert decide(reports(1_100_000), set(), LIMITS).on_half == set()
    assert decide(reports(900_000), set(), LIMITS).on_half == {"x"}
    assert decide(reports(1_100_000), {"x"}, LIMITS).on_half == {"x"}
    # What an estimator can reach on half of the rate: 1.5 times that.
    assert decide(reports(1_500_000), {"x"}, LIMITS).on_half == set()
    # Estimates above the most that is sent are no reason to stay on half of it.
    fast = dict.fromkeys("abcd", 10 * LIMITS.most)
    reach = int(1.5 * LIMITS.most / 2)
    assert decide({**fast, "x": reach}, {"x"}, LIMITS).on_half == set()


@given(
    st.dictionaries(st.integers(0, 40), st.integers(0, 1 << 40), max_size=40),
    st.sets(st.integers(0, 50)),
)
def test_the_policy_always_gives_rates_in_range(reports: dict[int, int], on_half: set[int]) -> None:
    rates = decide(reports, on_half, LIMITS)
    assert LIMITS.least <= rates.half <= rates.full <= LIMITS.most
    assert rates.half <= max(LIMITS.least, rates.full / 2)
    assert rates.on_half <= reports.keys() | on_half
    staying = reports.keys() - rates.on_half
    assert bool(staying) == bool(reports), "somebody always gets the full picture"
    again = decide(reports, set(rates.on_half), LIMITS)
    assert again.on_half >= rates.on_half, "the same reports move nobody back"


def test_a_rate_changes_when_it_is_worth_a_key_frame() -> None:
    assert is_worth_it(1_000_000, 1_300_000, 2.0)
    assert is_worth_it(1_000_000, 700_000, 2.0)
    assert not is_worth_it(1_000_000, 1_200_000, 60.0)
    assert not is_worth_it(1_000_000, 100_000, 1.9)


# Time


@given(st.floats(1, 120), st.lists(st.floats(0, 0.1), min_size=1, max_size=300))
def test_the_rate_cap_holds(fps: float, steps: list[float]) -> None:
    cap = FrameRateCap(fps)
    times = np.cumsum(steps).tolist()
    admitted = [time for time in times if cap.admit(time)]
    assert admitted
    for begin in admitted[:20]:
        within = [time for time in admitted if begin <= time < begin + 1]
        assert len(within) <= fps * 1.05 + 3


def test_the_rate_cap_lets_a_jittering_camera_through() -> None:
    rng = np.random.default_rng(1)
    cap = FrameRateCap(30)
    times = np.arange(300) / 30 + rng.uniform(0, 0.006, 300)
    assert all(cap.admit(time) for time in times)
    cap = FrameRateCap(30)
    assert sum(cap.admit(index / 60) for index in range(300)) == 150
    assert cap.admit(-1000.0), "a clock that went back"
    assert cap.admit(5000.0)


def test_key_frames_are_coalesced() -> None:
    gate = KeyFrameGate()
    assert (gate.is_due(0), gate.due_at) == (False, None)
    gate.ask(1.0)
    gate.ask(1.1)
    assert gate.is_due(1.0)
    gate.made(1.2)
    assert not gate.is_due(9.0)
    gate.ask(1.3)
    assert not gate.is_due(1.4)
    assert gate.is_due(1.46)
    assert gate.due_at == 1.45


def test_times_that_cannot_be() -> None:
    for told, taken in ((9.5, 9.5), (0.0, 10.0), (1e12, 10.0), (float("nan"), 10.0)):
        assert plausible(told, 10.0) == taken


def test_retries_wait_longer_and_not_for_ever() -> None:
    assert [retry_after(n) for n in (1, 2, 3, 6, 1000)] == [1, 2, 4, 30, 30]


# Sound


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.randoms())
def test_frames_of_sound_hold_every_sample_in_order(sizes: list[int], random: object) -> None:
    framer, at = Framer(), 0
    samples = np.arange(2 * sum(sizes)).reshape(-1, 2).astype(np.int16)
    frames = []
    for size in sizes:
        jitter = random.uniform(-0.009, 0.009)  # type: ignore[attr-defined]
        frames += framer.push(samples[at : at + size], 5 + at / 48_000 + jitter * (at > 0))
        at += size
    assert [pts for pts, _ in frames] == [240_000 + 960 * n for n in range(len(frames))]
    assert len(frames) == at // 960
    if frames:
        joined = np.concatenate([each for _, each in frames])
        np.testing.assert_array_equal(joined, samples[: len(joined)])


def test_gaps_and_overlaps_in_sound() -> None:
    framer = Framer()
    ones = np.ones((1200, 2), np.int16)
    (first,) = framer.push(ones, 0.0)
    assert first[0] == 0
    rest, following = framer.push(ones * 2, 1.0)
    assert rest[0] == 960
    assert (rest[1][:240] == 1).all()
    assert (rest[1][240:] == 0).all()
    assert following[0] == 48_000
    assert framer.push(ones * 3, 0.5) == [], "that was over"
    (again,) = framer.push(np.repeat(ones * 3, 2, axis=0), 1.0)  # the first half was there
    assert again[0] == 48_960
    assert (again[1][:240] == 2).all()
    assert (again[1][240:] == 3).all()


# Pictures

SIDES = st.integers(2, 4000)
EVEN = st.integers(16, 1000).map(lambda n: 2 * n)


@given(SIDES, SIDES, EVEN, EVEN)
def test_sizes_are_even_and_within(width: int, height: int, across: int, along: int) -> None:
    size = fitted_size(width, height, (across, along))
    for side, most in zip(size, (across, along), strict=True):
        assert side % 2 == 0
        assert 16 <= side <= most
    assert across - size[0] <= 4 or along - size[1] <= 4
    out = outgoing_size(width, height, (across, along))
    for side, most in zip(out, (across, along), strict=True):
        assert side % 2 == 0
        assert 32 <= side <= most
    for scale in (1.0, 0.75, 0.5, 0.01):
        assert all(side % 2 == 0 and side >= 16 for side in scaled_size(out, scale))
    assert scaled_size(out, 1.0) == out
    assert half_size(out) == scaled_size(out, 0.5)


def test_the_shape_is_kept() -> None:
    assert outgoing_size(1920, 1080, (1280, 720)) == (1280, 720)
    assert outgoing_size(1080, 1920, (1280, 720)) == (404, 720)
    assert outgoing_size(640, 360, (1280, 720)) == (640, 360)
    assert outgoing_size(641, 359, (1280, 720)) == (640, 360)
    assert fitted_size(1440, 1080, (1280, 720)) == (960, 720)
    assert fitted_size(1918, 1080, (1280, 720)) == (1280, 720), "no bar of a pixel"


@pytest.mark.parametrize(("range_", "black"), [(1, 16), (2, 0), (0, 16)])
def test_letterboxing(range_: int, black: int) -> None:
    frame = grey(200, 32, 64, Color(range=range_))
    boxed = letterboxed(frame, (96, 64))
    assert boxed.y.shape == (64, 96)
    assert (boxed.u.shape, boxed.u[0, 0]) == ((32, 48), 128)
    np.testing.assert_array_equal(boxed.y[:, 32:64], frame.y)
    assert (boxed.y[:, :32] == black).all()
    assert (boxed.y[:, 64:] == black).all()
    assert boxed.color == frame.color
    assert letterboxed(frame, (32, 64)) is frame
    assert resized(frame, (32, 64)) is frame
    assert resized(frame, (64, 32)).u.shape == (16, 32)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (1280, 720)])
def test_the_notice_leaves_the_frame_alone(size: tuple[int, int]) -> None:
    frame: Frame = grey(200, *size)
    noted = with_notice(frame, "The sender is away.")
    assert (frame.y == 200).all()
    assert noted.y.shape == frame.y.shape
    assert noted.y.max() > 120
    assert np.median(noted.y) == 108


# Levels and settings


def test_levels() -> None:
    assert level_for(64, 48, 30) == 31
    assert level_for(1280, 720, 30) == 31
    assert level_for(1280, 720, 60) == 32
    assert level_for(1920, 1080, 30) == 40
    assert level_for(1920, 1080, 60) == 42
    assert level_for(720, 1280, 30) == 31
    assert level_for(3840, 2160, 30) == 51
    assert level_for(4096, 32, 30) == 40, "a side longer than level 3.1 takes"
    assert profile_level_id(31) == "42e01f"
    assert profile_level_id(40) == "42e028"
    with pytest.raises(InputError, match=r"no H\.264 level holds 4096x4096"):
        level_for(4096, 4096, 120)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (33, 64)},
        {"size": (16, 64)},
        {"size": (4096, 4096)},
        {"max_size": (3840, 2160), "fps": 120},
        {"strength": 1.1},
        {"min_bitrate": 3_000_000, "start_bitrate": 2_000_000},
        {"working_scales": ()},
        {"working_scales": (0.5, 1.0)},
        {"working_scales": (1.0, 1.0)},
        {"fade_ms": 20_000},
        {"colour": "red"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LiveSettings(**wrong)
