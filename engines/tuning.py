"""A short measurement that finds how this machine's CPU runs a graph fastest.

Which back end, precision, number of threads and placement of threads win differs from one CPU to
the next, so the candidates run the real graph at the real size. They take turns, because a machine
does other things beside; those that are far behind are dropped at once. It takes a few seconds and
is done when a user asks for it, never while a frame waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import numpy as np

from streamfx.engines.base import (
    Array,
    Available,
    Backend,
    Engine,
    EngineOptions,
    Progress,
    TensorSpec,
    silent,
)
from streamfx.engines.choices import CPU_BACKENDS, Choice, ChoiceMemory, Remembered, key_for
from streamfx.engines.errors import EngineError
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.openvino import OpenVINOBackend, Placement

SECONDS = 12.0

TURNS = 6
BURST = 4  # runs that count, of a turn
HOPELESS = 1.15  # times the best median: dropped after a turn
GAIN = 0.03  # what a rival must gain: below that it is noise

Clock = Callable[[], float]
Stage = Callable[[Choice], Sequence[Choice]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    """What was found.

    Attributes:
        best: the winner; it is `default` unless it gains at least `GAIN`.
        default: what runs when nothing is remembered.
        milliseconds: for a frame, median, by what was measured, in that order.
        complete: False where time ran out before everything had its turn.
    """

    best: Choice
    default: Choice
    milliseconds: Mapping[Choice, float]
    complete: bool

    @property
    def gain(self) -> float:
        """Share of the default's time that the winner saves."""
        return 1 - self.milliseconds[self.best] / self.milliseconds[self.default]


def tune(
    graph: bytes,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    batch: int = 1,
    options: EngineOptions | None = None,
    seconds: float = SECONDS,
    memory: ChoiceMemory | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Measure, and remember the winner for `streamfx.engines.load` with the same arguments.

    Args:
        backend: "auto", or "openvino" or "onnxruntime", which then is kept.
        options: what is named here is kept; a precision of "auto" allows those that the back
            ends list, as it does for `load`.
        seconds: after which no further candidate begins.
        memory: None = the user's.

    Raises:
        EngineError: no back end for the CPU is available, what was asked for is not possible, or
            the winner cannot be remembered.
    """
    options = options or EngineOptions()
    start, stages = candidates(backend, options)
    found = search(
        start,
        stages,
        lambda choice: choice.load(graph, size=size, batch=batch),
        seconds=seconds,
        progress=progress,
    )
    (memory or ChoiceMemory()).store(
        Remembered(
            key_for(graph, size, backend=backend, batch=batch, options=options),
            found.best,
            found.milliseconds[found.best],
            found.milliseconds[found.default],
        )
    )
    return found


def candidates(backend: str, options: EngineOptions) -> tuple[Choice, tuple[Stage, ...]]:
    """The default, and the stages of the search: each varies what won before it.

    Raises:
        EngineError: see `tune`.
    """
    if backend not in ("auto", *CPU_BACKENDS):
        raise EngineError(f"{backend} is not measured; use auto, {' or '.join(CPU_BACKENDS)}")
    threads = options.thread_count()
    allowed: list[Choice] = []
    errors: list[EngineError] = []
    known: tuple[Backend, ...] = (OpenVINOBackend(), ONNXRuntimeBackend())
    for name, each in zip(CPU_BACKENDS, known, strict=True):
        if backend not in ("auto", name):
            continue
        found = each.probe()
        try:
            if not isinstance(found, Available):
                raise EngineError(f"{found.reason}; try: {found.fix}")
            settled = found.settle(options.precision, name)
        except EngineError as error:
            errors.append(error)
            continue
        precisions = found.precisions if options.precision == "auto" else (settled,)
        allowed += [Choice(name, precision, threads) for precision in precisions]  # type: ignore[arg-type]
    if not allowed:
        raise errors[0]
    stages: list[Stage] = [lambda _: allowed[1:]]
    if options.threads is None:
        stages.append(lambda best: [replace(best, threads=n) for n in _fewer(threads)])
    stages.append(lambda best: _placed(best) if best.backend == "openvino" else [])
    return allowed[0], tuple(stages)


def search(
    start: Choice,
    stages: Sequence[Stage],
    load: Callable[[Choice], Engine],
    *,
    seconds: float,
    clock: Clock = perf_counter,
    progress: Progress = silent,
) -> Tuning:
    """Let what leads and each stage's rivals race; a rival that gains enough leads from then on.

    A rival that cannot be loaded is left out.

    Raises:
        EngineError: `start` cannot be loaded, or an engine failed on a frame.
    """
    deadline = clock() + seconds
    times: dict[Choice, list[float]] = {}
    best = start
    for index, stage in enumerate(stages):
        rivals = [choice for choice in stage(best) if choice not in times]
        if times and not rivals:
            continue
        runners: dict[Choice, Callable[[], None]] = {}
        with ExitStack() as engines:
            for choice in (best, *rivals):
                if times and clock() >= deadline:
                    break
                progress(str(choice), index / len(stages))
                try:
                    engine = load(choice)
                except EngineError as error:
                    if choice == start:
                        raise
                    log.info("%s is left out: %s", choice, error)
                    continue
                engines.callback(engine.close)
                runners[choice] = _runner(engine)
            found = race(runners, deadline, clock)
        for choice, samples in found.items():
            times.setdefault(choice, []).extend(samples)
        best = _winner(best, found)
    progress("done", 1.0)
    medians = {choice: median(samples) for choice, samples in times.items()}
    return Tuning(best, start, medians, complete=clock() < deadline)


def race(
    runners: Mapping[Choice, Callable[[], None]], deadline: float, clock: Clock
) -> dict[Choice, list[float]]:
    """Milliseconds of each run of each, in turns; who is far behind runs no further.

    Everybody has one turn, however late it is.
    """
    times: dict[Choice, list[float]] = {choice: [] for choice in runners}
    left = list(runners)
    for turn in range(TURNS):
        for choice in left:
            if turn and clock() >= deadline:
                return times
            runners[choice]()  # the caches hold another's tensors
            for _ in range(BURST):
                began = clock()
                runners[choice]()
                times[choice].append((clock() - began) * 1000)
        limit = HOPELESS * min((median(samples) for samples in times.values()), default=0.0)
        left = [choice for choice in left if median(times[choice]) <= limit]
        if len(left) < 2:
            break
    return times


def plausible_inputs(inputs: Mapping[str, TensorSpec], seed: int = 0) -> dict[str, Array]:
    """Tensors that take the way through memory that a stream's do: noise, and a still past."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for name, spec in inputs.items():
        if spec.dtype == np.uint8:
            tensors[name] = rng.integers(0, 256, spec.shape, dtype=np.uint8)
        elif name == "motion":
            n, rows, columns, _ = spec.shape
            ys, xs = ((np.arange(side) * 2 + 1) / side - 1 for side in (rows, columns))
            places = np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)
            tensors[name] = np.ascontiguousarray(np.broadcast_to(places, (n, *places.shape)))
        else:
            tensors[name] = rng.uniform(0, 1, spec.shape).astype(np.float32)
    return tensors


def _runner(engine: Engine) -> Callable[[], None]:
    inputs = plausible_inputs(engine.inputs)
    outputs = {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
    return lambda: engine.run(inputs, outputs)


def _winner(best: Choice, times: Mapping[Choice, Sequence[float]]) -> Choice:
    medians = {choice: median(samples) for choice, samples in times.items() if samples}
    if best not in medians:  # time ran out before the race
        return best
    fastest = min(medians, key=lambda choice: medians[choice])
    return fastest if medians[fastest] <= medians[best] * (1 - GAIN) else best


def _fewer(threads: int) -> list[int]:
    """Half the threads and a quarter of them: what shares cores or memory may be faster so."""
    return sorted({threads // 2, threads // 4} - {0, threads}, reverse=True)


def _placed(choice: Choice) -> list[Choice]:
    return [
        replace(choice, placement=placement)
        for placement in (
            Placement(pinning=True),
            Placement(pinning=False),
            Placement(hyper_threading=False),
            Placement(fast_cores_only=True),
        )
    ]
