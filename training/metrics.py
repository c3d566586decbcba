"""Figures of looks and steadiness, from pictures alone (no network, no torch).

Frames are uint8 RGB [H, W, 3]; every difference is in 8-bit levels (1/255 of the range).
A stylist that mutes contrast would look steady for free, so the figures of steadiness are
divided by the contrast that it keeps (`contrast_ratio`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Floats = NDArray[np.float32]

WARP_FLOOR = 1.0
MIN_VISIBLE = 0.5
GRID_PERIODS = (4, 8, 16)
GRID_AMPLITUDE = 0.1
GRID_RATIO = 6.0


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a frame was in the frame before.

    Attributes:
        source: float32 [H, W, 2], the (x, y) position in the earlier frame.
        visible: bool [H, W], False where the pixel was hidden or outside.
    """

    source: Floats
    visible: NDArray[np.bool_]

    @property
    def is_usable(self) -> bool:
        """Whether at least half of the frame was visible before: no scene cut lies between."""
        return bool(self.visible.mean() >= MIN_VISIBLE)

    def warp(self, earlier: RGB | Floats) -> Floats:
        """The earlier frame's pixels moved onto this frame, float32 [H, W, 3]."""
        return _sample(earlier.astype(np.float32), self.source)


def luma(rgb: RGB) -> NDArray[np.uint8]:
    """BT.601 luma, uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def estimate_motion(earlier: RGB, later: RGB) -> Motion:
    """Optical flow from `later` back to `earlier`, with occlusions found by going there and back.

    Flow: DIS, medium preset (Kroeger et al., "Fast Optical Flow using Dense Inverse Search",
    2016). Visibility: Sundaram, Brox, Keutzer, "Dense Point Trajectories by GPU-accelerated
    Large Displacement Optical Flow", 2010, eq. 5. Equal frames have no motion, exactly.
    """
    first, second = luma(earlier), luma(later)
    if np.array_equal(first, second):
        return _no_motion(*first.shape)
    return _estimate_motion(first.tobytes(), second.tobytes(), first.shape[0])


@lru_cache(maxsize=16)
def _no_motion(height: int, width: int) -> Motion:
    return Motion(_grid(height, width), np.ones((height, width), bool))


def _grid(height: int, width: int) -> Floats:
    axes = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack(axes, axis=-1).astype(np.float32)


@lru_cache(maxsize=256)  # every stylist meets the same pairs: about 40 of each clip, 3 MB each
def _estimate_motion(earlier: bytes, later: bytes, height: int) -> Motion:
    first = np.frombuffer(earlier, np.uint8).reshape(height, -1)
    second = np.frombuffer(later, np.uint8).reshape(height, -1)
    width = first.shape[1]
    grid = _grid(height, width)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward = np.asarray(flow.calc(second, first, np.zeros_like(grid)), np.float32)
    forward = np.asarray(flow.calc(first, second, np.zeros_like(grid)), np.float32)
    source = grid + backward
    returned = _sample(forward, source)
    gap = ((backward + returned) ** 2).sum(-1)
    length = (backward**2).sum(-1) + (returned**2).sum(-1)
    inside = ((source >= 0) & (source <= (width - 1, height - 1))).all(-1)
    return Motion(source, (gap < 0.01 * length + 0.5) & inside)


def _sample(image: Floats, positions: Floats) -> Floats:
    """Bilinear samples of [H, W, C] at (x, y) positions [H, W, 2], edges repeated."""
    x, y = positions[..., 0], positions[..., 1]
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def contrast_ratio(outputs: Sequence[RGB | Floats], inputs: Sequence[RGB | Floats]) -> float:
    """Mean absolute gradient of the outputs over that of the inputs."""
    return _mean_gradient(outputs) / max(_mean_gradient(inputs), 1e-6)


def _mean_gradient(frames: Sequence[RGB | Floats]) -> float:
    total = 0.0
    for frame in frames:
        x = frame.astype(np.float32)
        total += float(np.abs(np.diff(x, axis=1)).mean() + np.abs(np.diff(x, axis=0)).mean())
    return total / (2 * len(frames))


def warp_error(frames: Sequence[RGB], motions: Sequence[Motion], gap: int = 1) -> float:
    """Mean |frame - earlier frame moved along| over visible pixels, in levels.

    `motions[i]` leads from frame i + gap back to frame i. Pairs of which less than half is
    visible (scene cuts) are left out; NaN when nothing is left.
    """
    errors = [
        float(np.abs(later.astype(np.float32) - motion.warp(earlier))[motion.visible].mean())
        for earlier, later, motion in zip(frames[:-gap], frames[gap:], motions, strict=True)
        if motion.is_usable
    ]
    return float(np.mean(errors)) if errors else float("nan")


def warp_ratio(
    outputs: Sequence[RGB], inputs: Sequence[RGB], motions: Sequence[Motion], gap: int = 1
) -> float:
    """Warping error of the outputs over the inputs' (at least 1.0 level), per kept contrast.

    1 = as steady as the input. The measure is that of Lai et al., "Learning Blind Video
    Temporal Consistency", 2018, relative to the input's own and to its contrast.
    """
    own = max(warp_error(inputs, motions, gap), WARP_FLOOR)
    return warp_error(outputs, motions, gap) / own / contrast_ratio(outputs, inputs)


def noise_gain(outputs: Sequence[RGB], inputs: Sequence[RGB]) -> float:
    """Temporal deviation of the outputs over that of the inputs, per kept contrast.

    The inputs are one still picture with fresh noise in every frame: 1 = noise comes out as
    it went in, 0 = it is gone.
    """
    out, into = _stack(outputs), _stack(inputs)
    deviation = float(out.std(0).mean()) / max(float(into.std(0).mean()), 1e-6)
    return deviation / contrast_ratio([out.mean(0)], [into.mean(0)])


def _stack(frames: Sequence[RGB]) -> Floats:
    return np.stack(frames).astype(np.float32)


def ssim(first: RGB, second: RGB) -> float:
    """Structural similarity of two frames' luma, at most 1.

    Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", 2004: 11x11 Gaussian window of deviation 1.5, K1 0.01, K2 0.03.
    """
    x, y = luma(first).astype(np.float32), luma(second).astype(np.float32)

    def blur(image: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float32)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    scale = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float((likeness / scale).mean())


def edge_agreement(first: RGB, second: RGB) -> float:
    """Correlation of the gradient magnitudes of two frames' luma, at most 1.

    1 = edges in the same places and of the same relative strength, whatever the tones; 0 = the
    edges know nothing of each other. Gradients are Scharr's under a Gaussian of deviation 1, so
    that grain counts for little; 0 too where a frame has no edge at all.
    """
    x, y = _gradients(first), _gradients(second)
    scale = float(x.std() * y.std())
    return float(((x - x.mean()) * (y - y.mean())).mean()) / scale if scale > 1e-6 else 0.0


def _gradients(rgb: RGB) -> Floats:
    grey = cv2.GaussianBlur(luma(rgb).astype(np.float32), (0, 0), 1.0)
    along, across = (cv2.Scharr(grey, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(along, across), np.float32)[1:-1, 1:-1]


def interior(frame: RGB, margin: int) -> RGB:
    """`frame` without `margin` pixels on each side."""
    return frame[margin:-margin, margin:-margin] if margin else frame


def mean_difference(first: RGB, second: RGB) -> float:
    """Mean absolute difference of two frames, in levels."""
    return float(np.abs(first.astype(np.float32) - second.astype(np.float32)).mean())


def flat_deviation(output: RGB, margin: int = 32) -> float:
    """Deviation inside a frame that should be flat, in levels: the largest of R, G and B."""
    return float(interior(output, margin).reshape(-1, 3).astype(np.float64).std(0).max())


@dataclass(frozen=True)
class GridPeak:
    """The strongest regular grid found in a picture.

    Attributes:
        period: 4, 8 or 16 pixels.
        amplitude: of the sinusoid at that period, in levels.
        ratio: amplitude over the median of the neighbouring frequencies.
    """

    period: int
    amplitude: float
    ratio: float

    @property
    def found(self) -> bool:
        """Whether the grid stands out: at least 0.1 levels and 6 times its neighbours.

        Noise and smooth shading stay below 6 (seen in 1500 random pictures), and below 0.1
        levels a grid drowns in the 8-bit rounding.
        """
        return self.amplitude >= GRID_AMPLITUDE and self.ratio >= GRID_RATIO


def grid_peak(output: RGB, margin: int = 32) -> GridPeak:
    """Look for lines or dots every 4, 8 or 16 pixels in a frame that should be flat.

    Spectra of the row means, of the column means and of the whole interior, luma and both
    colour differences, each under a Hann window and with its mean taken out; the amplitude at
    each period is compared with the median of the frequencies on either side, the higher one.

    Args:
        output: uint8 RGB [H, W, 3] with at least 64 pixels a side inside the margin.
    """
    inside = interior(output, margin).astype(np.float64)
    height, width = (side // 16 * 16 for side in inside.shape[:2])
    if min(height, width) < 64:
        raise ValueError(f"the interior is {width}x{height}; a grid needs at least 64x64 pixels")
    inside = inside[:height, :width]
    grey = inside.mean(-1)
    peaks: list[GridPeak] = []
    for plane in (grey, inside[..., 0] - inside[..., 1], inside[..., 2] - inside[..., 1]):
        residual = plane - plane.mean()
        peaks += _line_peaks(residual.mean(0)) + _line_peaks(residual.mean(1))
        peaks += _dot_peaks(residual)
    return worst_peak(peaks)


def worst_peak(peaks: Sequence[GridPeak]) -> GridPeak:
    """The one that stands out most, or if none stands out, the largest."""
    return max(peaks, key=lambda peak: (peak.found, peak.amplitude))


def _line_peaks(profile: NDArray[np.float64]) -> list[GridPeak]:
    window = np.hanning(len(profile) + 1)[:-1]
    spectrum = np.abs(np.fft.rfft((profile - profile.mean()) * window)) * 2 / window.sum()
    peaks = []
    for period in GRID_PERIODS:
        at = len(profile) // period
        sides = [spectrum[max(1, at - 16) : at - 1], spectrum[at + 2 : at + 17]]
        peaks.append(_peak(period, spectrum[at], sides))
    return peaks


def _dot_peaks(residual: NDArray[np.float64]) -> list[GridPeak]:
    height, width = residual.shape
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    # A product of two sinusoids shares its amplitude among four bins: hence 4, not 2.
    spectrum = np.abs(np.fft.fft2(residual * window)) * 4 / window.sum()
    peaks = []
    for along in GRID_PERIODS:
        for across in GRID_PERIODS:
            for sign in (1, -1):
                rows = (sign * height // across + np.arange(-5, 6)) % height
                columns = (width // along + np.arange(-5, 6)) % width
                patch = spectrum[np.ix_(rows, columns)]
                sides = [patch[:4], patch[7:], patch[:, :4], patch[:, 7:]]
                peaks.append(_peak(max(along, across), patch[5, 5], sides))
    return peaks


def _peak(period: int, amplitude: float, sides: list[NDArray[np.float64]]) -> GridPeak:
    """Against the highest side, because the spectrum of a smooth picture falls steeply; the
    bins next to the peak are in no side, because the window spreads a line over three."""
    level = max(float(np.median(side)) for side in sides)
    return GridPeak(period, float(amplitude), float(amplitude) / max(level, 1e-4))
