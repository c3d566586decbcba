"""`streamfx styles`: list, show, draw, explore and keep styles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=False)

PackOption = Annotated[str, typer.Option("--pack", help="A style pack: its name or file.")]

_COLUMNS = 4


@app.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    """List, show, draw, explore and keep styles."""
    if context.invoked_subcommand is None:
        list_styles()


@app.command("list")
def list_styles(*, pack: PackOption = "default") -> None:
    """List the styles of a pack."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamfx.styles import find_pack

    opened = find_pack(pack)
    table = Table(title=f"pack {opened.name}")
    table.add_column("style", no_wrap=True)  # to be copied
    for heading in ("title", "by", "year", "licence"):
        table.add_column(heading)
    for style in opened.styles:
        cells = (style.name, style.title, style.author, style.year, style.licence)
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A style of the pack.")],
    *,
    pack: PackOption = "default",
) -> None:
    """Print all that a pack says of one style, as JSON."""
    from streamfx.styles import find_pack

    opened = find_pack(pack)
    entry = opened.style(name).model_dump(mode="json")
    print(json.dumps({"pack": opened.name, **entry}, indent=1, ensure_ascii=False))


@app.command()
def sheet(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="NAME.png or NAME.jpg.")],
    pack: PackOption = "default",
    picture: Annotated[
        Path | None, typer.Option(help="Restyle this picture instead of showing thumbnails.")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="auto, or a name that `engines probe` lists.")
    ] = "auto",
) -> None:
    """Draw a sheet of all styles: their thumbnails, or your own picture in each."""
    from streamfx.errors import InputError
    from streamfx.pictures import decode_picture, read_picture
    from streamfx.sheets import picture_grid, write_picture
    from streamfx.styles import find_pack
    from streamfx.stylizer import Stylizer

    opened = find_pack(pack)
    if picture is not None:
        original = read_picture(picture)
        cells = {"input": original}
        with Stylizer(opened.styles[0].name, pack=opened, backend=backend) as stylizer:
            for style in opened.styles:
                stylizer.style = style.name
                cells[style.name] = stylizer.picture(original)
    else:
        cells = {
            style.name: decode_picture(opened.read(style.thumbnail), style.thumbnail)
            for style in opened.styles
            if style.thumbnail
        }
        if not cells:
            raise InputError(
                f"the style pack {opened.name!r} has no thumbnails; give --picture PICTURE"
            )
    write_picture(output, picture_grid(cells, columns=_COLUMNS))
    print(output)


@app.command()
def save(
    name: Annotated[str, typer.Argument(help="What the style is to be called.")],
    expression: Annotated[str, typer.Argument(help="The style expression to keep.")],
    *,
    title: Annotated[str, typer.Option(help="What people read.")] = "",
    pack: Annotated[
        str | None, typer.Option("--pack", help="The pack that the expression is about.")
    ] = None,
    into: Annotated[str, typer.Option(help="The pack that keeps it: a name or a file.")] = "mine",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a style of this name.")
    ] = False,
) -> None:
    """Keep a style expression under a name, in a pack of your own."""
    from streamfx.saved import save_style

    kept = save_style(name, expression, title=title, pack=pack, into=into, overwrite=overwrite)
    print(f"{kept.name}/{name} in {kept.path}")


@app.command()
def forget(
    name: Annotated[str, typer.Argument(help="A style that was kept.")],
    *,
    mine: Annotated[str, typer.Option("--from", help="The pack that keeps it.")] = "mine",
) -> None:
    """Take a style out of your own pack."""
    from streamfx.saved import forget_style

    forget_style(name, mine)


@app.command()
def explore(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="NAME.png or NAME.jpg.")],
    like: Annotated[
        str | None, typer.Option(help="A style expression to vary; by default, latent styles.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Numbers of the styles on the last sheet that you like: 2,5.")
    ] = "",
    more: Annotated[
        bool, typer.Option("--more", help="Go on from the last sheet: breed from those you keep.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="What to show them on; by default, the demo scene.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=25, help="How many to show.")] = 9,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed, the same styles.")] = None,
    pack: PackOption = "default",
    backend: Annotated[
        str, typer.Option(help="auto, or a name that `engines probe` lists.")
    ] = "auto",
) -> None:
    """Draw a sheet of variations; then breed from those you like with --keep 2,5 --more.

    What was shown and kept is written beside the sheet, as NAME.json.
    """
    from streamfx.exploration import Search, draw_sheet, new_seed

    notes = output.with_suffix(".json")
    if keep or more:
        search = Search.read(notes).keep(_numbers(keep))
        search = search.more() if more else search
    else:
        search = Search(
            pack=pack,
            like=like,
            picture=str(picture) if picture is not None else None,
            seed=new_seed() if seed is None else seed,
            count=count,
        ).first()
    draw_sheet(search, output, backend)
    search.write(notes)
    for number, expression in enumerate(search.shown, start=1):
        print(f"{number}  {expression}")
    if search.kept:
        print(f"kept: {'  '.join(search.kept)}")
    print(f"{output}; go on with: streamfx styles explore --keep 1,2 --more -o {output}")


def _numbers(text: str) -> tuple[int, ...]:
    from streamfx.errors import InputError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(
            f"--keep takes numbers of the last sheet, such as 2,5, not {text!r}"
        ) from None
