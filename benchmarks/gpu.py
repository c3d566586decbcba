"""What an NVIDIA card makes of the networks: TensorRT, TensorRT for RTX, ONNX Runtime, PyTorch.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --quick         # the small network at 720p, one round
    python benchmarks/gpu.py --size 1080p

Whatever of them is installed restyles the same frames: one stream with and without CUDA graphs,
streams batched, files from NVDEC to NVENC, and PyTorch beside them. First each is made alone in a
process of its own, where a crash ends it alone, and its pictures are held against fp32 on the CPU.
Those that are right then take turns, so that clocks and whatever else the machine does hit them
alike. What cannot take part is listed with the reason. `docs/gpu.md` says how to read the tables.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from time import perf_counter
from typing import Any

import av
import numpy as np
from gpu_contenders import (
    CLIP_FRAMES,
    PRECISION,
    PYTORCH,
    Contender,
    Runner,
    Size,
    Subject,
    Tensors,
    contenders,
    first_frames,
    one,
    planes,
)
from numpy.typing import NDArray

from streamfx import machine
from streamfx.demo import RATE, draw
from streamfx.engines import Unavailable, backends
from streamfx.engines.base import cause
from streamfx.engines.cache import FOLDER_VARIABLE
from streamfx.engines.graph import read_graph, tensor_specs
from streamfx.engines.nvidia import find_gpu
from streamfx.errors import EngineError, StreamFXError
from streamfx.following import Follower
from streamfx.styles import Pack, find_pack

SIZES: dict[str, Size] = {"720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}
ROUNDS = 5
TURN = 0.5  # seconds of a turn that count; a file takes as long as it takes
WARM_UP = 0.1  # seconds before, in which the card raises its clocks
LIMIT = 1200.0  # seconds after which a process is ended
UNTRAINED = "large"
PACKAGES = (
    *("streamfx", "tensorrt-rtx-cu13", "tensorrt-cu13", "tensorrt-cu12", "cuda-bindings"),
    *("onnxruntime-gpu", "onnxruntime", "onnx", "torch", "triton", "av", "numpy"),
)
CARD = ("driver_version", "memory.total", "pstate", "clocks.sm", "temperature.gpu", "power.draw")


def missing(library: str) -> str:
    """Why a library cannot take part here, empty where it can."""
    if library == PYTORCH:
        try:
            import torch
        except ImportError as error:
            return f"PyTorch cannot be imported ({cause(error)}); try: pip install torch"
        found_cuda = torch.version.cuda and torch.cuda.is_available()
        return "" if found_cuda else f"PyTorch {torch.__version__} finds no CUDA"
    found = next(each for each in backends() if each.name == library).probe()
    return f"{found.reason}; try: {found.fix}" if isinstance(found, Unavailable) else ""


def subject_of(pack: Pack, size: Size, folder: Path) -> Subject:
    """A subject whose clip lies in `folder`; what is wanted is computed here."""
    clip = folder / f"{size[1]}x{size[0]}.mp4"
    if not clip.exists():
        write_clip(clip, size)
    graph = pack.generator
    _, spec = read_graph(graph)
    specs, _ = tensor_specs(spec, size, 1)
    still = {n: np.zeros(s.shape, s.dtype) for n, s in specs.items() if n not in spec.recurrent}
    still["strength"][:] = 1
    still["style"][:] = pack.styles[0].code
    follower = Follower(spec.motion)
    frames = []
    for frame in first_frames(clip):
        motion = follower(frame.y, frame.time).motion
        frames.append(still | planes(frame) | (motion.inputs(1.0) if motion else {}))
    subject = Subject(pack.path, clip, size, graph, frames)
    reference = one(subject, "onnxruntime", resident=False, precision="fp32")
    subject.wanted.update(restyled(reference, frames))
    return subject


def untrained(folder: Path) -> Pack:
    """A style pack of the network that ships in none, whose weights are random."""
    import torch

    from streamfx.training.export import export_pack
    from streamfx.training.networks import WIDTHS, Generator, Networks, StyleEncoder
    from streamfx.training.recipes import load_recipe

    path = folder / f"{UNTRAINED}.stylepack"
    if path.exists():
        return Pack.open(path)
    recipe, config = load_recipe(UNTRAINED), WIDTHS[UNTRAINED]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codes = torch.nn.Embedding(len(recipe.styles), config.style_size)
        networks = Networks(Generator(config), StyleEncoder(config.style_size), codes)
    return export_pack(path, recipe, networks, {})


def write_clip(path: Path, size: Size) -> None:
    """The demo scene, drawn no larger than 720p and enlarged."""
    height, width = size
    drawn = (width, height) if height <= 720 else (1280, 720)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(CLIP_FRAMES):
            picture = av.VideoFrame.from_ndarray(draw(index / RATE, *drawn, coarse=4), "rgb24")
            container.mux(stream.encode(picture.reformat(width, height, "yuv420p")))
        container.mux(stream.encode(None))


def restyled(runner: Runner, frames: Iterable[Tensors]) -> Tensors:
    """The outputs of the last of frames in a row."""
    for frame in frames:
        runner.put(frame)
        runner.step()
    return runner.read()


def compare(found: Tensors, wanted: Tensors) -> tuple[float, float, float]:
    """Relative error in the norm, and mean and largest difference in grey levels of 255.

    The error is that of the pictures before rounding, where both sides have them.
    """

    def flat(tensors: Tensors, names: Iterable[str]) -> NDArray[np.float32]:
        return np.concatenate([tensors[name].ravel().astype(np.float32) for name in names])

    pictures = [name for name, array in wanted.items() if array.dtype == np.uint8]
    exact = [name for name in wanted if name in found and name not in pictures] or pictures
    error = np.linalg.norm(flat(found, exact) - flat(wanted, exact))
    levels = np.abs(flat(found, pictures) - flat(wanted, pictures))
    relative = error / np.linalg.norm(flat(wanted, exact))
    return float(relative), float(levels.mean()), float(levels.max())


@dataclass
class Row:
    """A contender's figures.

    Attributes:
        ready: seconds until its first frame was done.
        memory: MiB of the card's that it takes, in a process of its own; None = not known.
        near: see `compare`.
        samples: milliseconds for a frame, one for each step that counts.
    """

    name: str
    ready: float
    memory: int | None
    near: tuple[float, float, float]
    samples: list[float] = field(default_factory=list)


def qualify(contender: Contender, subject: Subject) -> Row:
    """Make it and hold its pictures against fp32's; raises whatever that raises."""
    before, began = memory_used(), perf_counter()
    runner = contender.make(subject)
    runner.put(subject.frames[0])
    runner.step()
    ready = perf_counter() - began
    near = compare(restyled(runner, subject.frames), subject.wanted)
    if not near[1] <= contender.wrong:  # NaN is wrong as well
        raise EngineError(f"its pictures are wrong: {near[1]:.1f} grey levels off on average")
    after = memory_used()
    memory = None if before is None or after is None else after - before
    return Row(contender.name, ready, memory, near)


def race(entrants: Sequence[Contender], subject: Subject, rounds: int) -> dict[str, list[float]]:
    """Samples by name, taken by turns, of those that do not fail."""
    runners: dict[str, Runner] = {}
    samples: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for each in entrants if number == 0 else [e for e in entrants if e.name in runners]:
            try:
                if number == 0:
                    runners[each.name] = each.make(subject)
                    restyled(runners[each.name], subject.frames)
                    samples[each.name] = []
                else:
                    samples[each.name] += turn(runners[each.name])
            except Exception as error:  # whatever a library raises, the others go on
                print(f"{each.name} leaves the race: {cause(error)}", file=sys.stderr)
                runners.pop(each.name, None)
                samples.pop(each.name, None)
    return samples


def turn(runner: Runner) -> list[float]:
    """Milliseconds for a frame, for each step of a turn after the warm-up."""
    samples: list[float] = []
    began = now = perf_counter()
    while not samples or now - began < WARM_UP + TURN:
        before = now
        runner.step()
        now = perf_counter()
        if before - began >= WARM_UP:
            samples.append((now - before) * 1000 / runner.frames)
    return samples


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process of its own.

    Raises:
        EngineError: it raised anything, crashed, or took too long.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _end_in_time, (LIMIT,)) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise EngineError(f"its process crashed, or took over {LIMIT:.0f} seconds") from None
        except Exception as error:  # whatever a library raises
            raise EngineError(cause(error)) from error


def _end_in_time(limit: float) -> None:
    timer = Timer(limit, os._exit, (1,))
    timer.daemon = True
    timer.start()


def measure(
    group: Sequence[Contender], subject: Subject, rounds: int, lacking: Mapping[str, str]
) -> tuple[list[Row], dict[str, str]]:
    """Figures of those that could take part; why the others could not, by name."""
    rows: dict[str, Row] = {}
    reasons: dict[str, str] = {}
    for each in group:
        try:
            if lacking[each.library]:
                raise EngineError(lacking[each.library])
            print(f"{each.name} …", file=sys.stderr)
            rows[each.name] = apart(qualify, each, subject)
        except EngineError as error:
            reasons[each.name] = str(error)
    # Who fails beside the others, or falls with them, runs alone.
    for entrants in (group, *([each] for each in group)):
        left = [each for each in entrants if each.name in rows and not rows[each.name].samples]
        try:
            for name, samples in (apart(race, left, subject, rounds) if left else {}).items():
                rows[name].samples = samples
        except EngineError as error:
            print(f"the race ended: {error}", file=sys.stderr)
    fallen = {n: "it fails when it runs again" for n, row in rows.items() if not row.samples}
    return [row for row in rows.values() if row.samples], reasons | fallen


def table(title: str, rows: Iterable[Row]) -> Iterator[str]:
    """Lines of Markdown."""
    heads = ("ready after", "ms p50", "ms p95", "frames a second", "memory", "error", "levels off")
    yield f"| {' | '.join((title, *heads))} |"
    yield "| --- " * (len(heads) + 1) + "|"
    for row in rows:
        p50, p95 = np.percentile(row.samples, (50, 95))
        memory = "not known" if row.memory is None else f"{row.memory} MiB"
        error, mean, most = row.near
        yield (
            f"| {row.name} | {row.ready:.1f} s | {p50:.3f} | {p95:.3f} | {1000 / p50:.1f} "
            f"| {memory} | {error:.1e} | {mean:.2f}, at most {most:.0f} |"
        )


def ask_card(*fields: str) -> list[str]:
    """What NVIDIA's tool says of the card that CUDA takes; empty where it cannot be asked."""
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "-i", card]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [word.strip() for word in said.stdout.split(",")]


def memory_used() -> int | None:
    """MiB of the card's memory that are taken, by whomever."""
    said = "".join(ask_card("memory.used")).removesuffix(" MiB")
    return int(said) if said.isdigit() else None


def heading() -> Iterator[str]:
    """When, on what, and with which versions."""
    yield f"{datetime.now(UTC):%Y-%m-%d}, {machine.cpu_name()}, {machine.cores()} cores"
    gpu = find_gpu()
    if not isinstance(gpu, Unavailable):
        yield f"{gpu.name} (SM {gpu.sm}), the driver takes CUDA {gpu.cuda[0]}.{gpu.cuda[1]}"
        yield ", ".join(f"{k} {v}" for k, v in zip(CARD, ask_card(*CARD), strict=False))
    versions = ((name, machine.package_version(name)) for name in PACKAGES)
    yield ", ".join(f"{name} {version}" for name, version in versions if version)


def report(
    networks: Mapping[str, Callable[[Path], Pack]],
    sizes: Mapping[str, Size],
    rounds: int,
    lacking: Mapping[str, str],
    folder: Path,
) -> int:
    """Print a table for each network, size and group of contenders; how many rows there were.

    Args:
        networks: what makes the style pack of each, in a folder.
        lacking: by library, why it cannot take part.
    """
    measured = 0
    for network, make in networks.items():
        for size, sides in sizes.items():
            title = f"{network}, {size}, {PRECISION}"
            try:
                subject = subject_of(make(folder), sides, folder)
            except (ImportError, EngineError, StreamFXError, OSError) as error:
                print(f"\n- {title}: not measured: {cause(error)}", flush=True)
                continue
            for group in contenders():
                rows, reasons = measure(group, subject, rounds, lacking)
                measured += len(rows)
                print("", *table(title, rows), "", sep="\n")
                print(*(f"- {name}: {reason}" for name, reason in reasons.items()), sep="\n")
                print("- the card then:", ", ".join(ask_card(*CARD[2:])), flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, help="one frame size alone")
    parser.add_argument("--quick", action="store_true", help="the small network, 720p, one round")
    arguments = parser.parse_args()
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
    print(*heading(), sep="\n", flush=True)
    everybody = [each for group in contenders() for each in group]
    lacking = {library: missing(library) for library in {each.library for each in everybody}}
    if all(lacking.values()):
        print(*(f"- {each.name}: {lacking[each.library]}" for each in everybody), sep="\n")
        gpu = find_gpu()
        why = gpu.reason if isinstance(gpu, Unavailable) else "no library here runs on the GPU"
        sys.exit(f"gpu: nothing can be measured here, for it takes an NVIDIA card: {why}")
    networks: dict[str, Callable[[Path], Pack]] = {"small": lambda _: find_pack("default")}
    if not arguments.quick:
        networks[f"{UNTRAINED} (untrained, random weights)"] = untrained
    size = arguments.size or ("720p" if arguments.quick else None)
    sizes = {size: SIZES[size]} if size else SIZES
    with tempfile.TemporaryDirectory(prefix="streamfx-gpu-", ignore_cleanup_errors=True) as name:
        os.environ[FOLDER_VARIABLE] = str(Path(name) / "engines")
        rounds = 1 if arguments.quick else ROUNDS
        measured = report(networks, sizes, rounds, lacking, Path(name))
    if not measured:
        sys.exit("gpu: nothing could be measured; the lines above say why")


if __name__ == "__main__":
    main()
