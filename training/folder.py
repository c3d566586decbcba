"""The report as a folder: one HTML page, its figures as JSON, the looks alone as a Markdown page,
and the clips beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from streamfx.errors import InputError
from streamfx.files import write_file
from streamfx.pictures import read_picture

from .clips import RGB
from .contents import PICTURE_SUFFIXES
from .dossier import Dossier
from .evaluate import Progress, one_thread, pack_sheet
from .measuring import Bench, Measured, Subject, measure_all
from .page import Showing, render_page
from .trials import photo

PAGE, FIGURES, LOOKS, CLIPS = "index.html", "figures.json", "looks.md", "side-by-side"


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
    subject: Subject,
    *,
    processes: int = 1,
    progress: Progress = lambda _label, _share: None,
) -> Dossier:
    """Measure a pack and write the report; the page comes last, when all else is there.

    Args:
        folder: is made where it is missing; files of an earlier report are replaced.
        subject: without a cache folder the peer's pictures are kept until the report is done.
        processes: that measure styles side by side, each with its share of the CPUs.
        progress: is told what comes next and the share that is done, 0..1.

    Raises:
        InputError, StreamFXError, EngineError: as `evaluate_pack`; a folder cannot be written.
    """
    try:
        (folder / CLIPS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    with one_thread(), TemporaryDirectory(prefix="streamfx-") as passing:
        how = replace(subject.how, peer_cache=subject.how.peer_cache or Path(passing))
        subject = replace(subject, how=how)
        progress("clips", 0.0)
        bench = Bench(subject)
        measured: dict[str, Measured] = {}
        for one in measure_all(bench, processes, progress):
            measured[one.style] = one
            write_file(folder / CLIPS / f"{one.style}.mp4", one.side_by_side)
        dossier = bench.dossier([measured[style] for style in subject.paintings])
        showings = {
            style: Showing(subject.pack.style(style).title, one.sheet, f"{CLIPS}/{style}.mp4")
            for style, one in measured.items()
        }
        progress("page", 1.0)
        sheet = pack_sheet(subject.pack, subject.paintings, subject.runs, how)
        page = render_page(dossier, showings, sheet)
    figures = json.dumps(dossier.as_dict(), indent=1, allow_nan=False)
    write_file(folder / FIGURES, figures.encode())
    write_file(folder / LOOKS, dossier.report.markdown().encode())
    write_file(folder / PAGE, page.encode())
    return dossier
