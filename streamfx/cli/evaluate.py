"""`streamfx evaluate`: the looks of a style pack in figures, beside its peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from streamfx.engines.base import Precision


def command(
    *,
    pack: Annotated[str, typer.Argument(help="A style pack: its file or its name.")],
    clips: Annotated[
        list[Path], typer.Option("--clips", help="A clip or a folder of clips; may repeat.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The report, NAME.md.")],
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
    backend: Annotated[str, typer.Option(help="auto, or a back end of `doctor`.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Of the engine.")] = "auto",
) -> None:
    """Measure the looks of a style pack on clips, beside its peers.

    Writes NAME.md and, with the same figures and those of each clip, NAME.json. Needs the
    extra `training`. Exit code 0 whether or not the pack keeps the bars: the report says it.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from streamfx.errors import InputError, StreamFXError
    from streamfx.files import write_file
    from streamfx.sheets import write_picture
    from streamfx.styles import find_pack

    try:
        from streamfx.training.clips import find_clips, read_clip
        from streamfx.training.evaluate import evaluate_pack, pack_sheet, read_paintings
    except ImportError as error:
        raise StreamFXError(
            f"{error.name} is missing; evaluating needs: pip install 'streamfx[training]'"
        ) from None

    if output.suffix != ".md":
        raise InputError(f"the report is a Markdown page: end {output.name!r} in .md")
    opened = find_pack(pack)
    paintings = read_paintings(opened, pictures, _named(painting or []))
    found = [read_clip(path, width - width % 2) for path in find_clips(clips)]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("clips", total=1.0)
        report = evaluate_pack(
            opened,
            found,
            paintings,
            peer_cache=peer_cache,
            backend=backend,
            precision=precision,
            progress=lambda label, share: bar.update(task, description=label, completed=share),
        )
    write_file(output, report.markdown().encode())
    write_file(output.with_suffix(".json"), json.dumps(report.as_dict(), indent=1).encode())
    if sheet is not None:
        write_picture(
            sheet, pack_sheet(opened, paintings, found, backend=backend, precision=precision)
        )
    print(f"{'every bar is kept' if report.passed else 'not every bar is kept'}: see {output}")


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
