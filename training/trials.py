"""What a stylist is put through beyond the probes, and the `Artefacts` that come of it.

A `RunTrial` is a run of a real clip: warping error over longer gaps, edges, faces. A
`StillTrial` is made of one picture: motion that is known exactly, borders, drift, ghosts, faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from statistics import fmean, median
from typing import overload

import cv2
import numpy as np

from streamfx.errors import InputError

from .artefacts import TextureMotion, border_excess, channel_drift, ghost_error, texture_motion
from .clips import RGB, Clip, as_video, read_clip
from .faces import Face, FaceFigures, FaceFinder, compare_faces
from .metrics import Motion, edge_agreement, estimate_motion, warp_ratio
from .probes import MARGIN, SMALLEST_SIDE, STILL_WARM_UP, add_noise
from .scenes import GHOST_LAG, Scene, panning_scene, passing_scene
from .stylists import Stylist

GAPS = (1, 5, 10)
TEXTURE_GAP = 5
RUN_FRAMES = 24  # a second of every clip: what is shown
GAP_FRAMES = 16  # of which these are measured for warping: the flows of more would fill memory
EVERY = 4  # faces and edges are looked at in every fourth frame
MOMENTS, MOMENT_FRAMES = 4, 9  # of every clip: where faces are looked at as well
SCENE_FRAMES = max(GAPS) + 3
SETTLED = 12  # frames of a still after which nothing moves any more
DRIFT_FRAMES = 2000
DRIFT_AT = (50, 200, 500, 1000, 2000)
DRIFT_FROM = 10
DRIFT_SIZE = (192, 144)
NOISE_WINDOW, NOISE_BLOCK = 16, 8
WINDOW = (256, 192)
PHOTO = (1280, 720)
NAN = float("nan")


@dataclass(frozen=True)
class Moment:
    """A contiguous run of a clip in which faces are looked at.

    Attributes:
        frames: uint8 RGB [H, W, 3].
        faces: of every fourth frame.
    """

    frames: tuple[RGB, ...]
    faces: tuple[list[Face], ...]


@dataclass(frozen=True)
class RunTrial:
    """A contiguous run of a clip.

    Attributes:
        name: the clip's.
        frames: uint8 RGB [H, W, 3].
        motions: gap -> motion from every frame of the first `GAP_FRAMES` back to the one `gap`
            earlier, estimated from the frames.
        faces: of every fourth frame; None where no face finder was at hand.
        moments: further ones of the clip, those that show a face.
    """

    name: str
    frames: tuple[RGB, ...]
    motions: Mapping[int, tuple[Motion, ...]]
    faces: tuple[list[Face], ...] | None
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class StillTrial:
    """A picture and the scenes made of it.

    Attributes:
        name: its own or its clip's.
        still: uint8 RGB [H, W, 3].
        panning: everything in it moves, exactly known; of the picture's size.
        motions: gap -> exact motion of `panning`.
        passing: a cut-out moves over a window of the picture.
        drifting: a small window of the picture.
        faces: of the picture; None where no face finder was at hand.
        seed: of the noise.
    """

    name: str
    still: RGB
    panning: Scene
    motions: Mapping[int, tuple[Motion, ...]]
    passing: Scene
    drifting: RGB
    faces: list[Face] | None
    seed: int


def read_runs(path: Path, width: int) -> Clip:
    """A run of `RUN_FRAMES` frames from the middle of a clip, and then `MOMENTS` runs of
    `MOMENT_FRAMES` that are spread over it; `width` in pixels.

    Raises:
        InputError: as `read_clip`.
    """
    middle = read_clip(path, width, runs=1, run_length=RUN_FRAMES)
    return Clip(middle.name, middle.runs + read_clip(path, width, MOMENTS, MOMENT_FRAMES).runs)


def run_trial(clip: Clip, finder: FaceFinder | None) -> RunTrial:
    """Prepare a clip: all is measured in its first run, faces in the others too."""
    frames = clip.runs[0]
    measured = frames[:GAP_FRAMES]
    motions = {
        gap: tuple(estimate_motion(a, b) for a, b in zip(measured, measured[gap:], strict=False))
        for gap in GAPS
    }
    if finder is None:
        return RunTrial(clip.name, frames, motions, None, ())
    first, *others = (Moment(run, tuple(map(finder, run[::EVERY]))) for run in clip.runs)
    moments = tuple(moment for moment in others if any(moment.faces))
    return RunTrial(clip.name, frames, motions, first.faces, moments)


def still_trial(name: str, picture: RGB, seed: int, finder: FaceFinder | None) -> StillTrial:
    """Prepare a picture, uint8 RGB [H, W, 3] with even sides; the same seed, the same noise.

    Raises:
        InputError: a side is below `SMALLEST_SIDE` pixels.
    """
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name} is measured at {width}x{height}; both sides need {SMALLEST_SIDE} pixels "
            "(choose a greater width, or another picture)"
        )
    still = as_video(picture)
    window = _centre(still, WINDOW)
    panning = panning_scene(still, _turned(still), SCENE_FRAMES)
    return StillTrial(
        name=name,
        still=still,
        panning=panning,
        motions={gap: panning.motions(gap) for gap in GAPS},
        passing=passing_scene(window, _turned(window)),
        drifting=_centre(still, DRIFT_SIZE),
        faces=finder(still) if finder else None,
        seed=seed,
    )


def photo(picture: RGB) -> RGB:
    """A 16:9 picture of 1280x720 pixels, or smaller where `picture` is: nothing is enlarged."""
    height, width = picture.shape[:2]
    scale = min(1.0, max(PHOTO[0] / width, PHOTO[1] / height))
    size = (round(width * scale), round(height * scale))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    width, height = size
    wide = min(PHOTO[0], width, height * 16 // 9)
    return _centre(small, (wide // 2 * 2, min(PHOTO[1], wide * 9 // 16) // 2 * 2))


def _centre(picture: RGB, size: tuple[int, int]) -> RGB:
    """The middle of a picture, at most `size` (width, height), at even places."""
    height, width = picture.shape[:2]
    left, top = (max(0, (a - b) // 2 // 2 * 2) for a, b in ((width, size[0]), (height, size[1])))
    return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])


def _turned(picture: RGB) -> RGB:
    return np.ascontiguousarray(picture[::-1, ::-1])


class NoisyStill(Sequence[RGB]):
    """A still under fresh sensor noise in every frame; frames are made when they are asked for."""

    def __init__(self, still: RGB, frames: int, seed: int) -> None:
        self._still, self._frames, self._seed = still, frames, seed

    def __len__(self) -> int:
        return self._frames

    @overload
    def __getitem__(self, index: int) -> RGB: ...
    @overload
    def __getitem__(self, index: slice) -> list[RGB]: ...
    def __getitem__(self, index: int | slice) -> RGB | list[RGB]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        random = np.random.default_rng((self._seed, index % len(self)))
        return as_video(add_noise(self._still, random))


@dataclass(frozen=True)
class Artefacts:
    """What the trials say of one stylist and one painting; NaN = not measured.

    Attributes:
        edges: `metrics.edge_agreement`, median over clips; higher is better.
        warps: gap -> `metrics.warp_ratio` along estimated flow, median over clips.
        exact: gap -> the same along exact flow, median over stills.
        border: `artefacts.border_excess`, mean over stills, levels.
        drift: `artefacts.channel_drift` since the tenth frame, the worst frame and still, levels.
        noisy_drift: the same under sensor noise.
        ghost: `artefacts.ghost_error` three frames after a cut-out left, mean over stills, levels.
        follows, stays: `artefacts.texture_motion`, mean over stills that got any texture.
        faces, found, moved: `faces.FaceFigures` over all clips and stills.
        drifts: frame -> (drift, noisy drift) up to there, the worst still's.
        trials: each clip's and still's own figures.
    """

    edges: float
    warps: Mapping[int, float]
    exact: Mapping[int, float]
    border: float
    drift: float
    noisy_drift: float
    ghost: float
    follows: float
    stays: float
    faces: int
    found: float
    moved: float
    drifts: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    trials: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def measure_artefacts(
    stylist: Stylist,
    runs: Sequence[RunTrial],
    stills: Sequence[StillTrial],
    finder: FaceFinder | None,
    drift_frames: int,
) -> tuple[Artefacts, list[list[RGB]]]:
    """Run a stylist over every trial.

    Args:
        stylist: what to measure.
        runs, stills: one of each at least.
        finder: the one that the trials were made with.
        drift_frames: for how many frames stills are watched, at least 26.

    Returns:
        The figures, and the outputs of every run.
    """
    shown = [stylist(trial.frames) for trial in runs]
    run_figures = {
        trial.name: _run_figures(trial, outputs) for trial, outputs in zip(runs, shown, strict=True)
    }
    textures = [_pan(stylist, trial) for trial in stills]
    drifts = [_drifts(stylist, trial, drift_frames) for trial in stills]
    settled = [stylist([trial.still] * STILL_WARM_UP)[-1] for trial in stills]
    still_figures: dict[str, dict[str, float]] = {}
    for trial, (exact, texture), drift, wide in zip(stills, textures, drifts, settled, strict=True):
        still_figures[trial.name] = {
            **{f"exact {gap}": value for gap, value in exact.items()},
            "follows": texture.follows if texture.is_there else NAN,
            "stays": texture.stays if texture.is_there else NAN,
            "texture": texture.amount,
            "border": _border(stylist, trial.still, wide),
            "ghost": _ghost(stylist, trial.passing),
            "drift": max(value for value, _ in drift.values()),
            "noisy_drift": max(value for _, value in drift.values()),
        }
    faces = _faces(stylist, runs, shown, stills, settled, finder)

    def of_runs(name: str) -> list[float]:
        return [figures[name] for figures in run_figures.values()]

    def of_stills(name: str) -> list[float]:
        return [figures[name] for figures in still_figures.values()]

    found = Artefacts(
        edges=_median(of_runs("edges")),
        warps={gap: _median(of_runs(f"warp {gap}")) for gap in GAPS},
        exact={gap: _median(of_stills(f"exact {gap}")) for gap in GAPS},
        border=mean(of_stills("border")),
        drift=max(of_stills("drift")),
        noisy_drift=max(of_stills("noisy_drift")),
        ghost=mean(of_stills("ghost")),
        follows=mean(of_stills("follows")),
        stays=mean(of_stills("stays")),
        faces=faces.faces,
        found=faces.found,
        moved=faces.moved,
        drifts={
            frame: (max(d[frame][0] for d in drifts), max(d[frame][1] for d in drifts))
            for frame in drifts[0]
        },
        trials={
            **{f"clip {name}": figures for name, figures in run_figures.items()},
            **{f"still {name}": figures for name, figures in still_figures.items()},
        },
    )
    return found, shown


def mean(values: Sequence[float]) -> float:
    """The mean of those that were measured; NaN where none was."""
    known = [value for value in values if not isnan(value)]
    return fmean(known) if known else NAN


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return median(known) if known else NAN


def _run_figures(trial: RunTrial, outputs: Sequence[RGB]) -> dict[str, float]:
    measured = trial.frames[:GAP_FRAMES], outputs[:GAP_FRAMES]
    pairs = zip(trial.frames[::EVERY], outputs[::EVERY], strict=True)
    return {
        "edges": fmean(edge_agreement(a, b) for a, b in pairs),
        **{f"warp {gap}": _warp(*measured, trial.motions[gap], gap) for gap in GAPS},
    }


def _warp(
    frames: Sequence[RGB], outputs: Sequence[RGB], motions: Sequence[Motion], gap: int
) -> float:
    return warp_ratio(outputs, frames, motions, gap) if motions else NAN


def _pan(stylist: Stylist, trial: StillTrial) -> tuple[dict[int, float], TextureMotion]:
    frames, motions = trial.panning.frames, trial.motions
    outputs = stylist(frames)
    exact = {gap: _warp(frames, outputs, motions[gap], gap) for gap in GAPS}
    return exact, texture_motion(outputs, frames, motions[TEXTURE_GAP], TEXTURE_GAP)


def _border(stylist: Stylist, still: RGB, wide: RGB) -> float:
    window = np.ascontiguousarray(still[MARGIN:-MARGIN, MARGIN:-MARGIN])
    return border_excess(stylist([window] * STILL_WARM_UP)[-1], wide, MARGIN)


def _ghost(stylist: Stylist, passing: Scene) -> float:
    outputs = stylist(passing.frames)
    last = len(passing.frames) - 1
    errors = []
    # The first frame comes first there too: some take their colours from it.
    first = passing.frames[0]
    for frame in range(last, max(GHOST_LAG, last - 7), -3):
        settled = stylist([first, *[passing.frames[frame]] * SETTLED])[-1]
        errors.append(ghost_error(outputs[frame], settled, passing.trail(frame)))
    return fmean(errors)


def _drifts(stylist: Stylist, trial: StillTrial, frames: int) -> dict[int, tuple[float, float]]:
    """Frame -> (drift, drift under noise) between the tenth frame and that one."""
    quiet = stylist([trial.drifting] * frames)
    first = quiet[DRIFT_FROM - 1]
    at = sorted({*(each for each in DRIFT_AT if each < frames), frames})
    still = [channel_drift([first], [quiet[frame - 1]]) for frame in at]
    noisy = stylist(NoisyStill(trial.drifting, frames, trial.seed))
    early = noisy[DRIFT_FROM - 1 : DRIFT_FROM - 1 + NOISE_WINDOW]
    late = [noisy[frame - NOISE_WINDOW : frame] for frame in at]
    noise = [channel_drift(early, window, NOISE_BLOCK) for window in late]
    return dict(zip(at, zip(still, noise, strict=True), strict=True))


def _faces(
    stylist: Stylist,
    runs: Sequence[RunTrial],
    shown: Sequence[Sequence[RGB]],
    stills: Sequence[StillTrial],
    settled: Sequence[RGB],
    finder: FaceFinder | None,
) -> FaceFigures:
    if finder is None:
        return FaceFigures(0, NAN, NAN)
    before: list[list[Face]] = []
    after: list[list[Face]] = []
    looked_at = [
        *((run.faces or (), outputs[::EVERY]) for run, outputs in zip(runs, shown, strict=True)),
        *((m.faces, stylist(m.frames)[::EVERY]) for run in runs for m in run.moments),
        *(([still.faces or []], [output]) for still, output in zip(stills, settled, strict=True)),
    ]
    for known, outputs in looked_at:
        # Where the input has no face there is nothing to look for.
        for faces, output in zip(known, outputs, strict=True):
            before.append(faces)
            after.append(finder(output) if faces else [])
    return compare_faces(before, after)
