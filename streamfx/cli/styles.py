"""`streamfx styles`: list, show and draw the styles of a pack."""

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
    """List, show and draw the styles of a pack."""
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
    backend: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
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
