"""The report as a folder: one HTML page, its figures as JSON, the looks alone as a Markdown page,
and the clips beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from streamfx.errors import InputError, StreamFXError
from streamfx.files import write_file
from streamfx.pictures import read_picture
from streamfx.sheets import contact_sheet
from streamfx.styles import Pack

from .clips import RGB, Clip
from .contents import PICTURE_SUFFIXES
from .dossier import Dossier
from .evaluate import How, Looks, Progress, contests, engine_of, one_thread, pack_sheet
from .faces import DETECTOR, FaceFinder
from .page import Showing, render_page
from .probes import Figures
from .report import OURS, PEER, UNTOUCHED, Report
from .sidebyside import beside, encode_clip
from .stylists import PackStylist
from .trials import (
    Artefacts,
    RunTrial,
    measure_artefacts,
    photo,
    run_trial,
    still_trial,
)

PAGE, FIGURES, LOOKS, CLIPS = "index.html", "figures.json", "looks.md", "side-by-side"
# Frames for which the rows are watched that forget after about a dozen.
MEMORY_FRAMES = 48


def read_photos(paths: Iterable[Path]) -> dict[str, RGB]:
    """The pictures among `paths` and in the folders among them, cut to 1280x720 or less.

    Raises:
        InputError: a path is missing, a picture is unreadable, or there is none at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        else:
            files.append(path)
    if not files:
        raise InputError(f"no photo found: expected {', '.join(sorted(PICTURE_SUFFIXES))}")
    return {file.stem: photo(read_picture(file)) for file in files}


def write_report(
    folder: Path,
    pack: Pack,
    clips: Sequence[Clip],
    runs: Sequence[Clip],
    paintings: Mapping[str, RGB],
    how: How,
    *,
    photos: Mapping[str, RGB] | None = None,
    drift_frames: int,
    progress: Progress = lambda _label, _share: None,
) -> Dossier:
    """Measure a pack and write the report; the page comes last, when all else is there.

    Args:
        folder: is made where it is missing; files of an earlier report are replaced.
        pack: what to measure.
        clips: for the looks, as `evaluate_pack` takes them.
        runs: the same clips with one longer run each, for the artefacts and for the eye.
        paintings: style name -> uint8 RGB [H, W, 3].
        how: see `How`; without a cache folder the peer's pictures are kept until it is done.
        photos: name -> picture, that scenes are made of; None = the middle frames of `runs`.
        drift_frames: for how many frames a pack's still is watched.
        progress: is told what comes next and the share that is done, 0..1.

    Raises:
        InputError, StreamFXError, EngineError: as `evaluate_pack`; a folder cannot be written.
    """
    try:
        (folder / CLIPS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    with one_thread(), TemporaryDirectory(prefix="streamfx-") as passing:
        how = replace(how, peer_cache=how.peer_cache or Path(passing))
        dossier, showings = _measure(
            folder, pack, clips, runs, paintings, how, photos, drift_frames, progress
        )
        progress("page", 1.0)
        page = render_page(dossier, showings, pack_sheet(pack, paintings, runs, how))
    figures = json.dumps(dossier.as_dict(), indent=1, allow_nan=False)
    write_file(folder / FIGURES, figures.encode())
    write_file(folder / LOOKS, dossier.report.markdown().encode())
    write_file(folder / PAGE, page.encode())
    return dossier


def _measure(
    folder: Path,
    pack: Pack,
    clips: Sequence[Clip],
    runs: Sequence[Clip],
    paintings: Mapping[str, RGB],
    how: How,
    photos: Mapping[str, RGB] | None,
    drift_frames: int,
    progress: Progress,
) -> tuple[Dossier, dict[str, Showing]]:
    progress("clips", 0.0)
    looks = Looks(clips)
    finder, faces = _finder()
    run_trials = [run_trial(clip, finder) for clip in runs]
    pictures = photos or {clip.name: clip.runs[0][len(clip.runs[0]) // 2] for clip in runs}
    still_trials = [
        still_trial(name, picture, seed, finder)
        for seed, (name, picture) in enumerate(pictures.items())
    ]
    styles: dict[str, dict[str, Figures]] = {}
    artefacts: dict[str, dict[str, Artefacts]] = {}
    showings: dict[str, Showing] = {}
    for contest in contests(pack, paintings, how):
        style = contest.style
        styles[style], artefacts[style] = {}, {}
        shown: dict[str, list[list[RGB]]] = {}
        for row, stylist in contest.turns(progress):
            styles[style][row] = looks.measure(stylist, contest.painting)
            remembers = isinstance(stylist, PackStylist)
            artefacts[style][row], shown[row] = measure_artefacts(
                stylist,
                run_trials,
                still_trials,
                finder,
                drift_frames if remembers else min(drift_frames, MEMORY_FRAMES),
            )
        address = f"{CLIPS}/{style}.mp4"
        write_file(folder / address, encode_clip(_side_by_side(shown)))
        sheet = _sheet(contest.painting, run_trials, shown)
        showings[style] = Showing(pack.style(style).title, sheet, address)
    report = Report(pack.name, styles, engine_of(pack, clips[0], how), looks.clips, how.peer)
    sizes = [f"{t.name} ({t.still.shape[1]}x{t.still.shape[0]})" for t in still_trials]
    return Dossier(report, artefacts, sizes, drift_frames, faces), showings


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
