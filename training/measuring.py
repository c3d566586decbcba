"""Measuring every style of a pack for the report, one after the other or side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from streamfx.errors import StreamFXError
from streamfx.sheets import contact_sheet
from streamfx.styles import Pack

from .clips import RGB, Clip
from .dossier import Dossier
from .evaluate import How, Looks, Progress, contests, engine_of, one_thread
from .faces import DETECTOR, FaceFinder
from .probes import Figures
from .report import OURS, PEER, UNTOUCHED, Report
from .sidebyside import beside, encode_clip
from .stylists import PackStylist
from .trials import Artefacts, RunTrial, measure_artefacts, run_trial, still_trial

# Frames for which the rows are watched that forget after about a dozen.
MEMORY_FRAMES = 48


@dataclass(frozen=True)
class Subject:
    """What a report is about, and on what every style is measured.

    Attributes:
        pack: what to measure.
        clips: for the looks, as `evaluate_pack` takes them.
        runs: the same clips, as `read_runs` reads them, for the artefacts and for the eye.
        paintings: style name -> uint8 RGB [H, W, 3].
        how: see `How`.
        photos: name -> picture, that scenes are made of; None = the middle frames of `runs`.
        drift_frames: for how many frames a pack's still is watched.
    """

    pack: Pack
    clips: Sequence[Clip]
    runs: Sequence[Clip]
    paintings: Mapping[str, RGB]
    how: How
    photos: Mapping[str, RGB] | None
    drift_frames: int


@dataclass(frozen=True)
class Measured:
    """What is known of a style.

    Attributes:
        figures, artefacts: of every row of the table.
        sheet: the last frame of every run in every row, see `contact_sheet`.
        side_by_side: the runs as an MP4 file: input, ours and peer.
    """

    style: str
    figures: Mapping[str, Figures]
    artefacts: Mapping[str, Artefacts]
    sheet: RGB
    side_by_side: bytes


class Bench:
    """All that every style of a subject is measured with."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._looks = Looks(subject.clips)
        self._finder, self._faces = _finder()
        runs = subject.runs
        self._run_trials = [run_trial(clip, self._finder) for clip in runs]
        pictures = subject.photos or {
            clip.name: clip.runs[0][len(clip.runs[0]) // 2] for clip in runs
        }
        self._still_trials = [
            still_trial(name, picture, seed, self._finder)
            for seed, (name, picture) in enumerate(pictures.items())
        ]

    def measure(self, style: str, progress: Progress) -> Measured:
        """Measure a style; `progress` is told the row and the share of the style that is done."""
        subject, painting = self.subject, self.subject.paintings[style]
        figures: dict[str, Figures] = {}
        artefacts: dict[str, Artefacts] = {}
        shown: dict[str, list[list[RGB]]] = {}
        for contest in contests(subject.pack, {style: painting}, subject.how):
            for row, stylist in contest.turns(progress):
                figures[row] = self._looks.measure(stylist, painting)
                frames = subject.drift_frames
                if not isinstance(stylist, PackStylist):
                    frames = min(frames, MEMORY_FRAMES)
                artefacts[row], shown[row] = measure_artefacts(
                    stylist, self._run_trials, self._still_trials, self._finder, frames
                )
        sheet = _sheet(painting, self._run_trials, shown)
        return Measured(style, figures, artefacts, sheet, encode_clip(_side_by_side(shown)))

    def dossier(self, measured: Sequence[Measured]) -> Dossier:
        """What is known of all styles, in one."""
        subject = self.subject
        report = Report(
            subject.pack.name,
            {one.style: one.figures for one in measured},
            engine_of(subject.pack, subject.clips[0], subject.how),
            self._looks.clips,
            subject.how.peer,
        )
        sizes = [f"{t.name} ({t.still.shape[1]}x{t.still.shape[0]})" for t in self._still_trials]
        artefacts = {one.style: one.artefacts for one in measured}
        return Dossier(report, artefacts, sizes, subject.drift_frames, self._faces)


def measure_all(bench: Bench, processes: int, progress: Progress) -> Iterator[Measured]:
    """Every style of a subject as it is done: in their order, or side by side in processes.

    Args:
        processes: with more than one, each has a bench of its own and its share of the CPUs.
        progress: is told the style and the share of all that is done, 0..1.

    Raises:
        StreamFXError: a process ended early.
    """
    styles = list(bench.subject.paintings)
    processes = min(processes, len(styles))
    if processes == 1:
        for index, style in enumerate(styles):
            yield bench.measure(style, partial(_tell, progress, index, len(styles)))
        return
    context = get_context("spawn")
    places = context.SimpleQueue()
    for place in range(processes):
        places.put(place)
    progress(f"{len(styles)} styles in {processes} processes", 0.0)
    given = (bench.subject, processes, places)
    with ProcessPoolExecutor(processes, context, _begin, given) as pool:
        try:
            waiting = [pool.submit(_measure, style) for style in styles]
            for done, future in enumerate(as_completed(waiting), start=1):
                measured = future.result()
                progress(f"{measured.style} is done", done / len(styles))
                yield measured
        except BrokenProcessPool:
            raise StreamFXError(
                "a process that measures styles ended early, maybe for want of memory; "
                "give fewer --processes"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tell(progress: Progress, index: int, count: int, label: str, share: float) -> None:
    progress(label, (index + share) / count)


_benches: list[Bench] = []  # one, in a process that measures styles


def _begin(subject: Subject, processes: int, places: Any) -> None:
    if hasattr(os, "sched_setaffinity"):
        # Or the engines' threads of all processes would share all of the CPUs.
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[places.get() % len(cpus) :: processes])
    with one_thread():
        _benches.append(Bench(subject))


def _measure(style: str) -> Measured:
    with one_thread():
        return _benches[0].measure(style, lambda _row, _share: None)


def _finder() -> tuple[FaceFinder | None, str]:
    """A face finder and what it is, or none and why."""
    try:
        finder = FaceFinder()
    except StreamFXError as error:
        return None, f"Not measured: {error}"
    return finder, f"{DETECTOR}, from {finder.version}"


def _side_by_side(shown: Mapping[str, Sequence[Sequence[RGB]]]) -> list[RGB]:
    """Input, ours and peer, one run after the other."""
    columns = [shown[row] for row in (UNTOUCHED, OURS, PEER)]
    return [
        beside(pictures)
        for run in zip(*columns, strict=True)
        for pictures in zip(*run, strict=True)
    ]


def _sheet(
    painting: RGB, trials: Sequence[RunTrial], shown: Mapping[str, Sequence[Sequence[RGB]]]
) -> RGB:
    """A row for each run: its last frame in every row of the table, and the painting."""
    pictures = [
        [painting, *(runs[index][-1] for runs in shown.values())] for index in range(len(trials))
    ]
    return contact_sheet(
        pictures, [trial.name for trial in trials], ["painting", *shown], width=256
    )
