"""`streamfx train`: from a folder of style pictures to a style pack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

MOST_PICTURES = 64  # of one style


def command(
    *,
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe's name, or a .toml file.")
    ] = "adapt",
    pictures: Annotated[Path, typer.Option(help="Folder of the style's pictures.")],
    content: Annotated[
        Path | None,
        typer.Option(
            help="What to learn restyling on: a folder of pictures, or a film; by default "
            "scenes that the program draws."
        ),
    ] = None,
    picture_attributes: Annotated[
        str,
        typer.Option(
            help="Of a folder in the layout of CelebA, the pictures with these: Smiling,-Young."
        ),
    ] = "",
    content_attributes: Annotated[str, typer.Option(help="The same for --content.")] = "",
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, and train nothing.")
    ] = False,
) -> None:
    """Train a style pack; a run that was stopped goes on from its last checkpoint.

    Without a recipe, all pictures in the folder become one style, called like the pack: the
    default pack's network is adapted to them. Half an hour is enough (--minutes 30).

    The targets of every style are made first and kept in the run folder: about a second for
    each picture and style. Needs the extra `training`.

    On several processors or GPUs: torchrun --nproc-per-node 2 -m streamfx.cli train … shares
    every batch among so many processes.
    """
    from rich.console import Console

    from streamfx.errors import InputError, StreamFXError
    from streamfx.styles import SUFFIX

    try:
        from streamfx.training.contents import list_pictures
        from streamfx.training.parallel import join_processes
        from streamfx.training.plan import estimate
        from streamfx.training.recipes import load_recipe
        from streamfx.training.run import TARGETS, train
    except ImportError as error:
        raise StreamFXError(
            f"{error.name} is missing; training needs: pip install 'streamfx[training]'"
        ) from None

    if output.suffix != SUFFIX:
        raise InputError(f"a style pack's name ends in {SUFFIX}, not {output.name!r}")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {output.parent} for the pack")
    plan = load_recipe(recipe)
    if not plan.styles:
        found = list_pictures(pictures, picture_attributes)[:MOST_PICTURES]
        names = [str(path.relative_to(pictures)) for path in found]
        plan = plan.of_folder(_slug(output.stem), names)
    folder = run if run is not None else Path("runs") / plan.name
    with join_processes() as processes:
        console = Console(stderr=True, quiet=not processes.first)
        if dry_run:
            if processes.first:
                targets = folder / TARGETS
                cost = estimate(
                    plan, content, pictures, targets, attributes=content_attributes,
                    device=processes.device,
                )  # fmt: skip
                print(*cost.lines(minutes), sep="\n")
            return
        try:
            pack = train(
                plan, content, pictures, output, folder,
                attributes=content_attributes, minutes=minutes, threads=threads,
                processes=processes, console=console,
            )  # fmt: skip
        except KeyboardInterrupt:
            console.print(f"stopped; the same command goes on from the checkpoint in {folder}")
            raise
    console.print(f"{pack.path}: {', '.join(style.name for style in pack.styles)}")


def _slug(text: str) -> str:
    """A pack's name from a file's: lower-case letters, digits and dashes."""
    name = "-".join(re.findall("[a-z0-9]+", text.lower()))
    return name[:60].strip("-") or "mine"
