"""`streamfx engines`: build engines ahead of time, measure the CPU's, look after what is there."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from streamfx.engines.cache import Entry, Key
    from streamfx.engines.choices import Remembered
    from streamfx.engines.tuning import Tuning

app = typer.Typer(no_args_is_help=True)

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def build(
    pack: Annotated[str, typer.Argument(help="A style pack: its name or file.")] = "default",
    *,
    backend: Annotated[
        Literal["tensorrt", "tensorrt-rtx"], typer.Option(help="What builds and will run it.")
    ] = "tensorrt-rtx",
    size: Annotated[
        str, typer.Option(help="Sizes of the frames, one engine each: 1280x720,1920x1080.")
    ] = "1280x720",
    sm: Annotated[
        str | None,
        typer.Option(
            help="Compute capabilities, for tensorrt-rtx: 75 (RTX 20), 86 (RTX 30), "
            "89 (RTX 40), 120 (RTX 50), as 86,89; else that of the GPU here."
        ),
    ] = None,
    precision: Annotated[
        Literal["fp16", "bf16", "fp32"], typer.Option(help="Of the convolutions.")
    ] = "fp16",
    batch: Annotated[int, typer.Option(min=1, max=64, help="Frames at a time, at most.")] = 1,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each build.")] = 900,
) -> None:
    """Build engines into the cache; each in a process of its own.

    For every size there are two: for frames that come from the host's memory, and for frames that
    stay on the GPU.
    """
    from rich.console import Console
    from rich.progress import Progress

    from streamfx.device.stylize import resident_graph
    from streamfx.engines.base import EngineOptions
    from streamfx.engines.tensorrt import FLAVOURS, TensorRTBackend
    from streamfx.styles import find_pack

    sizes = _sizes(size)
    capabilities = _numbers(sm, "--sm") if sm is not None else ()
    graph = find_pack(pack).generator
    graphs = {"": graph, " on the GPU": resident_graph(graph)}
    builder = TensorRTBackend(FLAVOURS[backend])
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for (width, height), (where, each) in product(sizes, graphs.items()):
            task = bar.add_task(f"{width}x{height}{where}", total=1.0)
            path = builder.build_for(
                each,
                size=(height, width),
                batch=batch,
                options=EngineOptions(precision=precision),
                capabilities=capabilities,
                limit=timeout,
                progress=lambda _, share, task=task: bar.update(task, completed=share),  # type: ignore[misc]
            )
            print(path)


@app.command()
def tune(
    pack: Annotated[str, typer.Argument(help="A style pack: its name or file.")] = "default",
    *,
    size: Annotated[
        str, typer.Option(help="Sizes of the frames, measured one by one: 1280x720,1920x1080.")
    ] = "1280x720",
    backend: Annotated[
        Literal["auto", "openvino", "onnxruntime"], typer.Option(help="A named one is kept.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="A named one is kept.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="A named number is kept.")] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=600, help="For each size: then nothing new begins.")
    ] = 12.0,
    as_json: _AsJson = False,
) -> None:
    """Measure how this machine's CPU restyles fastest, and remember it.

    Whatever runs later on the CPU with the same pack, size, --backend, --precision and --threads
    takes the winner. Let nothing else run meanwhile.
    """
    from rich.console import Console
    from rich.progress import Progress

    from streamfx.engines.base import EngineOptions
    from streamfx.engines.tuning import tune as measure
    from streamfx.machine import load_average
    from streamfx.styles import find_pack

    sizes = _sizes(size)
    graph = find_pack(pack).generator
    load = load_average()
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for width, height in sizes:
            task = bar.add_task(f"{width}x{height}", total=1.0)
            found = measure(
                graph,
                (height, width),
                backend=backend,
                options=EngineOptions(precision, threads),
                seconds=seconds,
                progress=lambda label, share, task=task: bar.update(  # type: ignore[misc]
                    task, description=label, completed=share
                ),
            )
            rows.append((f"{width}x{height}", found))
    if as_json:
        print(json.dumps([_tuning_row(name, found) for name, found in rows], indent=1))
        return
    console = Console()
    for name, found in rows:
        console.print(_tuning_table(name, found))
        if not found.complete:
            console.print("Time ran out before everything was measured: give more --seconds.")
    if load is not None and load > 0.5:
        console.print(
            f"The machine was busy before the start (load {load:.1f}): measure again when idle."
        )


@app.command(name="list")
def list_(*, as_json: _AsJson = False) -> None:
    """Show the engines that have been built, and what was measured to be fastest on CPUs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamfx.engines.cache import EngineCache
    from streamfx.engines.choices import ChoiceMemory

    cache = EngineCache()
    entries = list(cache.entries())
    choices = ChoiceMemory().all()
    if as_json:
        rows = {"engines": list(map(_row, entries)), "choices": list(map(_choice_row, choices))}
        print(json.dumps(rows, indent=1))
        return
    console = Console()
    if entries:
        table = Table("back end", "size", "batch", "precision", "for", "MiB", "file")
        for entry in entries:
            cells = (*_cells(entry.key), f"{entry.bytes / 2**20:.1f}")
            file = Text(entry.path.name, overflow="fold")
            if entry.problem:
                file.append(f" {entry.problem}", "red")
            table.add_row(*map(Text, cells), file)
        console.print(table)
    else:
        print("No engine has been built; the CPU's need none.")
    if choices:
        table = Table("measured on the CPU", "size", "fastest", "ms", "default ms", "graph")
        for each in choices:
            table.add_row(*map(Text, _choice_cells(each)))
        console.print(table)
    console.print(f"In {cache.folder}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def probe(*, as_json: _AsJson = False) -> None:
    """Say which back ends work here, in the order in which "auto" asks them, and why not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamfx.engines import Available, backends

    rows = [(each.name, each.probe()) for each in backends()]
    if as_json:
        print(
            json.dumps(
                [
                    {"name": name, "available": isinstance(found, Available), **vars(found)}
                    for name, found in rows
                ],
                indent=1,
            )
        )
        return
    table = Table("", "back end", "found", "precisions / fix")
    for name, found in rows:
        if isinstance(found, Available):
            cells = (f"{found.version} on {found.device}", ", ".join(found.precisions))
            table.add_row(Text("ok", "green"), name, *map(Text, cells))
        else:
            table.add_row(Text("no", "yellow"), name, Text(found.reason), Text(found.fix))
    Console().print(table)


@app.command()
def verify(
    pack: Annotated[str, typer.Argument(help="The style pack they were built from.")] = "default",
) -> None:
    """Check every built engine: that it is whole and up to date, and what it computes.

    Where its back end and device are here, a frame is run and held against fp32 on the CPU;
    elsewhere that is said. The exit code is 1 if one of them is bad.
    """
    from streamfx.engines.cache import EngineCache
    from streamfx.engines.verify import verify_engine
    from streamfx.styles import find_pack

    cache = EngineCache()
    graph = find_pack(pack).generator
    bad = 0
    for entry in cache.entries():
        verdict = verify_engine(cache, entry, graph)
        bad += not verdict.good
        print(f"{'ok' if verdict.good else 'bad':<4} {entry.path.name}: {verdict.words}")
    raise typer.Exit(1 if bad else 0)


@app.command()
def clear() -> None:
    """Remove every built engine, and forget what was measured on the CPU."""
    from streamfx.engines.cache import EngineCache
    from streamfx.engines.choices import ChoiceMemory

    cache = EngineCache()
    print(f"{cache.clear()} files removed from {cache.folder}")
    print(f"{ChoiceMemory().clear()} measured choices forgotten")


def _sizes(text: str) -> list[tuple[int, int]]:
    """(width, height) of each size in "1280x720,1920x1080"."""
    from streamfx.errors import InputError

    sizes = []
    for word in text.split(","):
        sides = word.strip().lower().split("x")
        if len(sides) != 2 or not all(side.isascii() and side.isdigit() for side in sides):
            raise InputError(f"a size is WIDTHxHEIGHT, as 1280x720, not {word.strip()!r}")
        sizes.append((int(sides[0]), int(sides[1])))
    return sizes


def _numbers(text: str, option: str) -> tuple[int, ...]:
    from streamfx.errors import InputError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(f"{option} takes numbers, as 86,89, not {text!r}")
    return tuple(int(word) for word in words)


def _cells(key: Key | None) -> tuple[str, ...]:
    if key is None:
        return ("?",) * 5
    return (
        f"{key.backend} {key.version}",
        f"{key.width}x{key.height}",
        str(key.batch),
        key.precision,
        ", ".join(key.devices),
    )


def _row(entry: Entry) -> dict[str, object]:
    facts = vars(entry.key) if entry.key else {}
    return {
        "file": str(entry.path),
        "bytes": entry.bytes,
        "problem": entry.problem or None,
        **facts,
    }


def _choice_row(each: Remembered) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(each)


def _choice_cells(each: Remembered) -> tuple[str, ...]:
    key = each.key
    return (
        f"{key.cpu}, {key.cores} cores",
        f"{key.width}x{key.height}",
        str(each.choice),
        f"{each.milliseconds:.1f}",
        f"{each.default_milliseconds:.1f}",
        key.graph[:12],
    )


def _tuning_row(size: str, found: Tuning) -> dict[str, object]:
    return {
        "size": size,
        "best": str(found.best),
        "default": str(found.default),
        "milliseconds": {str(choice): ms for choice, ms in found.milliseconds.items()},
        "complete": found.complete,
    }


def _tuning_table(size: str, found: Tuning) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{size}: {found.best}")
    for name in ("", "ms", "gain"):
        table.add_column(name, justify="right" if name else "left")
    default = found.milliseconds[found.default]
    for choice, ms in found.milliseconds.items():
        words = f"{choice} (default)" if choice == found.default else str(choice)
        style = "green" if choice == found.best else ""
        table.add_row(Text(words, style), f"{ms:.2f}", f"{100 * (1 - ms / default):+.1f} %")
    return table
