"""What a stylist is shown, made from real clips, and the `Figures` that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import fmean, median

import numpy as np

from streamfx.errors import InputError

from .clips import RGB, Clip, as_video
from .judge import Judge, Target
from .metrics import (
    GridPeak,
    Motion,
    estimate_motion,
    flat_deviation,
    grid_peak,
    interior,
    mean_difference,
    noise_gain,
    ssim,
    warp_ratio,
    worst_peak,
)
from .stylists import Stylist

NOISE_SIGMA = 2.0
NOISE_WARM_UP = 8
NOISE_FRAMES = 12
STILL_WARM_UP = 3
DRIFT_FRAMES = 200
DRIFT_FROM = 5
MARGIN = 32
SMALLEST_SIDE = 144  # a window moved by 16, its margins, and 64 pixels to look for grids in
SHIFTS = tuple((s, 7 * s % 16) for s in range(1, 16))  # every offset from 1 to 15, in x and in y
FLAT_COLORS = {
    "black": (24, 24, 24),
    "grey": (128, 128, 128),
    "white": (232, 232, 232),
    "skin": (205, 160, 135),
    "sky": (120, 165, 215),
    "leaf": (80, 120, 60),
    "red": (170, 50, 50),
}


@dataclass(frozen=True)
class Probe:
    """One clip and what is made of it.

    Attributes:
        name: the clip's.
        runs: its contiguous runs of frames.
        motions: of each run, from every frame but the first back to the one before.
        noisy: the still under fresh sensor noise of deviation 2, warm-up frames first.
        still: its middle frame.
        windows: the still seen through a window, unmoved first, then moved by each of `SHIFTS`.
    """

    name: str
    runs: tuple[tuple[RGB, ...], ...]
    motions: tuple[tuple[Motion, ...], ...]
    noisy: tuple[RGB, ...]
    still: RGB
    windows: tuple[RGB, ...]


def make_probe(clip: Clip, seed: int) -> Probe:
    """Prepare a clip for `measure`; the same seed gives the same noise.

    Raises:
        InputError: its frames are too small, or it is nothing but scene cuts.
    """
    middle = clip.runs[len(clip.runs) // 2]
    still = middle[len(middle) // 2]
    height, width = still.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{clip.name} is measured at {width}x{height}; both sides need {SMALLEST_SIDE} pixels "
            "(choose a greater width)"
        )
    motions = tuple(tuple(estimate_motion(a, b) for a, b in pairwise(run)) for run in clip.runs)
    if not any(motion.is_usable for run in motions for motion in run):
        raise InputError(f"{clip.name} cuts at every measured frame: its flicker has no measure")
    random = np.random.default_rng(seed)
    return Probe(
        name=clip.name,
        runs=clip.runs,
        motions=motions,
        noisy=tuple(
            as_video(add_noise(still, random)) for _ in range(NOISE_WARM_UP + NOISE_FRAMES)
        ),
        still=still,
        windows=tuple(
            as_video(still[y : height - 16 + y, x : width - 16 + x]) for x, y in ((0, 0), *SHIFTS)
        ),
    )


def add_noise(picture: RGB, random: np.random.Generator) -> RGB:
    """`picture` with Gaussian sensor noise of `NOISE_SIGMA` levels."""
    noisy = picture + random.normal(0, NOISE_SIGMA, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Figures:
    """What the report says of one stylist and one painting; lower is better but for `ssim`.

    Attributes:
        style: style distance to the painting (`Judge.compare`), median over clips.
        grey: the same on grey frames of equal luminance.
        warp: `metrics.warp_ratio`, median over clips.
        gain: `metrics.noise_gain`, median over clips.
        ssim: structural similarity of input and output luma, median over clips.
        shift: mean |G(shift x) - shift G(x)| over shifts and clips, in levels.
        flat: deviation of a flat frame's output, in levels, the worst colour's.
        drift: mean change of a still picture between frames 5 and 200, in levels, the worst clip's.
        peak: the strongest 4-, 8- or 16-pixel grid over the flat frames.
        clips: each clip's own figures.
    """

    style: float
    grey: float
    warp: float
    gain: float
    ssim: float
    shift: float
    flat: float
    drift: float
    peak: GridPeak
    clips: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"peak": asdict(self.peak) | {"found": self.peak.found}}


def measure(
    stylist: Stylist, probes: Sequence[Probe], judge: Judge, targets: Sequence[Target]
) -> Figures:
    """Run a stylist over every probe.

    Args:
        stylist: what to measure.
        probes: one for each clip.
        judge: the network behind the style distance.
        targets: the painting as `judge.target` sees it at each probe's frame size.
    """
    clips = {
        probe.name: _measure_clip(stylist, probe, judge, target)
        for probe, target in zip(probes, targets, strict=True)
    }
    height, width = probes[0].still.shape[:2]
    flats = [_flat_output(stylist, height, width, color) for color in FLAT_COLORS.values()]

    def over_clips(name: str) -> list[float]:
        return [figures[name] for figures in clips.values()]

    return Figures(
        style=median(over_clips("style")),
        grey=median(over_clips("grey")),
        warp=median(over_clips("warp")),
        gain=median(over_clips("gain")),
        ssim=median(over_clips("ssim")),
        shift=fmean(over_clips("shift")),
        flat=max(flat_deviation(output, MARGIN) for output in flats),
        drift=max(over_clips("drift")),
        peak=worst_peak([grid_peak(output, MARGIN) for output in flats]),
        clips=clips,
    )


def _measure_clip(stylist: Stylist, probe: Probe, judge: Judge, target: Target) -> dict[str, float]:
    warps, styles, greys, likenesses = [], [], [], []
    for run, motions in zip(probe.runs, probe.motions, strict=True):
        outputs = stylist(run)
        warps.append(warp_ratio(outputs, run, motions))
        likenesses += [ssim(a, b) for a, b in zip(run, outputs, strict=True)]
        style, grey = judge.compare(outputs[-1], target)
        styles.append(style)
        greys.append(grey)
    noisy = stylist(probe.noisy)
    still = stylist([probe.still] * DRIFT_FRAMES)
    return {
        "style": fmean(styles),
        "grey": fmean(greys),
        "warp": float(np.nanmean(warps)),
        "gain": noise_gain(noisy[NOISE_WARM_UP:], probe.noisy[NOISE_WARM_UP:]),
        "ssim": fmean(likenesses),
        "shift": _shift_difference(stylist, probe),
        "drift": mean_difference(still[DRIFT_FROM - 1], still[-1]),
    }


def _shift_difference(stylist: Stylist, probe: Probe) -> float:
    unmoved, *moved = (stylist([window] * STILL_WARM_UP)[-1] for window in probe.windows)
    height, width = unmoved.shape[:2]
    return fmean(
        mean_difference(
            interior(unmoved[y:, x:], MARGIN), interior(output[: height - y, : width - x], MARGIN)
        )
        for (x, y), output in zip(SHIFTS, moved, strict=True)
    )


def _flat_output(stylist: Stylist, height: int, width: int, color: tuple[int, int, int]) -> RGB:
    frame = np.full((height, width, 3), color, np.uint8)
    return stylist([frame] * NOISE_WARM_UP)[-1]
