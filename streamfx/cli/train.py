"""`streamfx train`: from a folder of style pictures to a style pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    *,
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    content: Annotated[Path, typer.Option(help="Folder of pictures to learn restyling on.")],
    pictures: Annotated[Path, typer.Option(help="Folder of the recipe's style pictures.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The pack, NAME.stylepack.")],
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of checkpoints and samples; runs/NAME by default."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Time budget of the training steps, over all sittings."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Train a style pack; a run that was stopped goes on from its last checkpoint.

    The targets of every style are made first and kept in the run folder: about a second for
    each picture and style. Needs the extra `training`.
    """
    from rich.console import Console

    from streamfx.errors import InputError, StreamFXError
    from streamfx.styles import SUFFIX

    try:
        from streamfx.training.recipes import load_recipe
        from streamfx.training.run import train
    except ImportError as error:
        raise StreamFXError(
            f"{error.name} is missing; training needs: pip install 'streamfx[training]'"
        ) from None

    if output.suffix != SUFFIX:
        raise InputError(f"a style pack's name ends in {SUFFIX}, not {output.name!r}")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {output.parent} for the pack")
    plan = load_recipe(recipe)
    folder = run if run is not None else Path("runs") / plan.name
    console = Console(stderr=True)
    try:
        pack = train(
            plan, content, pictures, output, folder,
            minutes=minutes, threads=threads, console=console,
        )  # fmt: skip
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on from the checkpoint in {folder}")
        raise
    console.print(f"{pack.path}: {', '.join(style.name for style in pack.styles)}")
