"""The figures of the looks report, on pictures whose answers are known."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamfx.training import metrics

RGB = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0, blur: float = 3.0) -> RGB:
    """Smooth random colours that fill the range."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    return to_bytes(128 + 45 * smooth / smooth.std())


def to_bytes(values: NDArray[np.floating]) -> RGB:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def pan(frames: int, step: int = 2) -> list[RGB]:
    """A picture that moves left by `step` pixels a frame."""
    wide = texture(96, 160 + frames * step)
    return [np.ascontiguousarray(wide[:, step * i : step * i + 160]) for i in range(frames)]


def motions(frames: list[RGB]) -> list[metrics.Motion]:
    return [metrics.estimate_motion(a, b) for a, b in pairwise(frames)]


def test_motion_finds_a_pan_and_what_came_into_view() -> None:
    first, second = pan(2, step=4)
    motion = metrics.estimate_motion(first, second)
    x = np.arange(160, dtype=np.float32)[None]
    moved = (motion.source[..., 0] - x)[10:-10, 10:-16]
    assert np.abs(moved - 4).mean() < 0.1
    assert motion.visible[:, 10:-16].mean() > 0.97
    assert motion.visible[:, -3:].mean() < 0.1


def test_equal_frames_have_no_motion_at_all() -> None:
    frame = texture(64, 64)
    motion = metrics.estimate_motion(frame, frame)
    assert motion.visible.all()
    assert np.array_equal(motion.warp(frame), frame)


def test_a_cut_is_not_measured() -> None:
    cut = [texture(96, 160, seed=1, blur=1.5), texture(96, 160, seed=2, blur=1.5)]
    assert not motions(cut)[0].is_usable
    assert np.isnan(metrics.warp_error(cut, motions(cut)))


def test_warp_ratio_punishes_flicker_and_not_contrast() -> None:
    frames = pan(6)
    moved = motions(frames)
    flat = [to_bytes(64 + 0.5 * frame) for frame in frames]
    flickering = [to_bytes(frame * (0.9 + 0.1 * (i % 2))) for i, frame in enumerate(frames)]
    own = metrics.warp_ratio(frames, frames, moved)
    assert metrics.warp_ratio(flat, frames, moved) == pytest.approx(own, rel=0.35)
    assert metrics.warp_ratio(flickering, frames, moved) > 5 * own


def test_warp_ratio_of_a_still_input_rests_on_the_floor() -> None:
    frame = texture(96, 160)
    still = [frame] * 4
    jumping = [to_bytes(frame.astype(float) + 3 * (i % 2)) for i in range(4)]
    ratio = metrics.warp_ratio(jumping, still, motions(still))
    assert ratio == pytest.approx(3 / metrics.WARP_FLOOR, rel=0.05)


def test_noise_gain_is_one_for_the_input_and_halves_with_an_average() -> None:
    random = np.random.default_rng(3)
    still = texture(96, 160).astype(float)
    noisy = [to_bytes(still + random.normal(0, 2, still.shape)) for _ in range(30)]
    assert metrics.noise_gain(noisy, noisy) == pytest.approx(1.0)
    averaged = [to_bytes(np.mean(noisy[i : i + 4], axis=0)) for i in range(26)]
    assert metrics.noise_gain(averaged, noisy) == pytest.approx(0.5, abs=0.06)
    muted = [to_bytes(128 + 0.5 * (frame.astype(float) - 128)) for frame in noisy]
    assert metrics.noise_gain(muted, noisy) == pytest.approx(1.0, abs=0.1)


def test_ssim_of_known_changes() -> None:
    picture = texture(96, 160)
    assert metrics.ssim(picture, picture) == pytest.approx(1.0)
    assert metrics.ssim(picture, 255 - picture) < 0
    # Constant pictures: only the luminance term is left, (2ab + c1) / (a² + b² + c1).
    a, b, c1 = 100.0, 150.0, (0.01 * 255) ** 2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    flat = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 150, np.uint8)
    assert metrics.ssim(*flat) == pytest.approx(expected, abs=1e-4)


def test_contrast_ratio_of_half_the_contrast() -> None:
    picture = texture(96, 160).astype(np.float32)
    assert metrics.contrast_ratio([picture * 0.5], [picture]) == pytest.approx(0.5)


def test_flat_deviation_sees_the_inside_of_the_worst_channel() -> None:
    frame = np.full((128, 160, 3), 90, np.uint8)
    frame[:, :30] = 255
    assert metrics.flat_deviation(frame) == 0
    frame[:, 80:, 2] = 94
    assert metrics.flat_deviation(frame) == pytest.approx(2.0)


def grid(period: int, amplitude: float, kind: str, side: int = 256) -> NDArray[np.float64]:
    """A 16-pixel scallop, lines or dots: raised at one pixel in each period."""
    x = (np.arange(side) % period == 0).astype(float) * amplitude
    patterns = {
        "columns": np.broadcast_to(x, (side, side)),
        "rows": np.broadcast_to(x[:, None], (side, side)),
        "dots": np.minimum(x, x[:, None]) * 4,
        "checks": np.where((np.indices((side, side)) // (period // 2)).sum(0) % 2, amplitude, 0.0),
    }
    return np.asarray(patterns[kind], np.float64)


@pytest.mark.parametrize("kind", ["columns", "rows", "dots", "checks"])
@pytest.mark.parametrize("period", metrics.GRID_PERIODS)
def test_a_grid_is_found_through_noise(period: int, kind: str) -> None:
    noise = np.random.default_rng(5).normal(0, 1, (256, 256, 3))
    peak = metrics.grid_peak(to_bytes(120 + noise + grid(period, 3.0, kind)[..., None]))
    assert peak.found
    assert period % peak.period == 0 or peak.period % period == 0


def test_a_grid_in_colour_alone_is_found() -> None:
    frame = np.full((256, 256, 3), 120.0)
    wave = 2 * np.sin(2 * np.pi * np.arange(256) / 16)
    frame[..., 0] += wave
    frame[..., 1] -= wave / 2
    frame[..., 2] -= wave / 2
    peak = metrics.grid_peak(to_bytes(frame))
    assert (peak.found, peak.period) == (True, 16)


@pytest.mark.parametrize("seed", range(40))
def test_noise_and_smooth_shading_are_no_grid(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (224, 256, 3)).astype(np.float32)
    if seed % 4:
        blurred = cv2.GaussianBlur(values, (0, 0), random.uniform(0.5, 14))
        values = np.asarray(blurred, np.float32)
    ramp = np.linspace(-17, 26, 256)[None, :, None]
    noise = random.uniform(0.2, 8) * values / values.std()
    assert not metrics.grid_peak(to_bytes(120 + ramp + noise)).found


def test_a_flat_frame_has_no_grid_and_a_small_one_is_refused() -> None:
    assert not metrics.grid_peak(np.full((144, 160, 3), 77, np.uint8)).found
    with pytest.raises(ValueError, match="64x64"):
        metrics.grid_peak(np.zeros((100, 300, 3), np.uint8))
