"""`streamfx demo`: a scene to try the program on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="An MP4 file.")] = Path("demo.mp4"),
    *,
    seconds: Annotated[float, typer.Option(help="How long it lasts.")] = 6.0,
    size: Annotated[str, typer.Option(help="1280x720, or 720p.")] = "1280x720",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Render a short moving scene with sound."""
    from streamfx.demo import render
    from streamfx.errors import InputError
    from streamfx.media.sizes import Shape, WantedSize

    if output.suffix.lower() != ".mp4":
        raise InputError(f"the scene is an MP4 file: its name ends in .mp4, not {output.name!r}")
    if output.exists() and not overwrite:
        raise InputError(f"{str(output)!r} exists already; --overwrite replaces it")
    shape = WantedSize.parse(size).of(Shape(1280, 720))
    render(output, seconds=seconds, width=shape.width, height=shape.height)
    print(output)
