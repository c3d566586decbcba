"""`streamfx camera`: a restyled source as a webcam of this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    *,
    source: Annotated[
        str, typer.Option(metavar="webcam|screen|FILE|URL", help="What is restyled.")
    ] = "webcam",
    device: Annotated[
        str, typer.Option(help="/dev/video10, its number or its name; else the first free one.")
    ] = "",
    style: Annotated[str, typer.Option(help="A name or a blend (a:0.6+b:0.4).")] = "great-wave",
    strength: Annotated[float, typer.Option(help="0 = the input, 1 = the full style.")] = 1.0,
    size: Annotated[str, typer.Option(help="Of the camera, for as long as it runs.")] = "1280x720",
    fps: Annotated[float, typer.Option(help="Of the camera.")] = 30.0,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Left and right changed, as in a mirror.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat a file.")] = False,
    pack: Annotated[str | None, typer.Option(help="A style pack: its name or file.")] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the engine.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No status line.")] = False,
) -> None:
    """Show a restyled source as a camera that other programs can choose.

    Keys while it runs: n next style, p previous, o off and on, + and - strength, q quit.
    """
    import os

    from streamfx.cli.relay import run, settings
    from streamfx.endpoints import parse_sink, parse_source

    live = settings(
        (),
        size=size,
        fps=fps,
        style=style,
        strength=strength,
        backend=backend,
        threads=threads,
    )
    width, height = live.size or (1280, 720)
    options = f"size={width}x{height}&fps={fps:g}" + ("&mirror" if mirror else "")
    camera = parse_sink(f"camera:{device}#{options}")
    run(parse_source(source, os.environ), [camera], live, pack=pack, loop=loop, quiet=quiet)
