"""When a stream goes on and when it starts afresh, and the motion that goes with it."""

from __future__ import annotations

import numpy as np
import pytest

from streamfx.flow import Luma
from streamfx.following import Follower

SIZE = (90, 160)


def ramp(shift: int = 0, size: tuple[int, int] = SIZE) -> Luma:
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    return (128 + 60 * np.sin((columns - shift) / 7) * np.cos(rows / 9)).astype(np.uint8)


def noise(seed: int) -> Luma:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16))
    return np.kron(coarse, np.ones((10, 10))).astype(np.uint8)


def test_the_first_frame_has_no_past() -> None:
    assert Follower(motion=True)(ramp(), 0.0) == (False, None, None)


def test_what_moves_is_followed_and_believed_step_by_step() -> None:
    follower = Follower(motion=True)
    trusts = []
    for index in range(12):
        goes_on, motion, _ = follower(ramp(2 * index), index / 30)
        assert goes_on is bool(index)
        if motion is not None:
            assert motion.motion.shape == (1, SIZE[0] // 2, SIZE[1] // 2, 2)
            trusts.append(float(np.median(motion.trust)))
    # An eighth more with every frame, up to all that the search believes.
    assert trusts[0] == pytest.approx(trusts[-1] / 8, rel=0.2)
    assert trusts[:8] == sorted(trusts[:8])
    assert trusts[8] == pytest.approx(trusts[7], rel=0.05)


def test_what_a_moving_thing_leaves_is_believed_step_by_step() -> None:
    rows, columns = np.mgrid[:180, :320]
    wall = (120 + 30 * np.sin(columns / 5) * np.cos(rows / 4)).astype(np.uint8)
    follower = Follower(motion=True)
    left, beside = [], []
    for index in range(22):
        frame = wall.copy()
        # It stands for twelve frames and then goes away at once.
        if index < 12:
            frame[60:120, 100:180] = 250
        motion = follower(frame, index / 30).motion
        if motion is not None:
            left.append(float(motion.trust[0, 0, 40:50, 60:80].mean()))
            beside.append(float(motion.trust[0, 0, 70:, 100:].mean()))
    assert left[11] < 0.05, "it is gone"
    assert left[12:] == sorted(left[12:])
    assert left[13] < 0.3 and left[-1] > 0.7
    assert min(beside[9:]) > 0.7


def test_without_motion_only_the_past_is_told() -> None:
    follower = Follower(motion=False)
    assert [follower(ramp(), i / 30) for i in range(3)] == [
        (False, None, None),
        (True, None, None),
        (True, None, None),
    ]


@pytest.mark.parametrize(
    ("luma", "time"),
    [(noise(1), 1 / 30), (ramp(), 1.0), (ramp(), -1.0), (ramp(size=(60, 160)), 1 / 30)],
    ids=["cut", "gap", "back", "size"],
)
def test_a_stream_starts_afresh(luma: Luma, time: float) -> None:
    follower = Follower(motion=True)
    follower(ramp(), 0.0)
    assert follower(luma, time) == (False, None, None)
    goes_on, motion, _ = follower(luma, time + 1 / 30)
    assert goes_on
    assert motion is not None
    assert motion.trust.max() <= 0.75 / 8  # believed as little as after any start


def test_reset_forgets() -> None:
    follower = Follower(motion=True)
    follower(ramp(), 0.0)
    follower.reset()
    assert follower(ramp(), 1 / 30) == (False, None, None)


def test_places_are_carried_along_and_hung_anew_at_a_cut() -> None:
    follower = Follower(motion=True, places=True)
    first = follower(ramp(), 0.0)
    assert first.places is not None
    for index in range(1, 5):
        step = follower(ramp(2 * index), index / 30)
    assert step.places is not None
    # Two of 160 pixels are four of the reduction.
    moved = step.places - first.places
    np.testing.assert_allclose(np.median(moved[:, 20:-20, 40:-40], (1, 2)), [-16, 0], atol=0.5)
    cut = follower(noise(1), 5 / 30)
    again = Follower(motion=True, places=True)(noise(1), 0.0)
    assert cut.places is not None and again.places is not None
    np.testing.assert_array_equal(cut.places, again.places)
