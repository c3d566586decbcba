"""What an engine and a back end are: the contract that every back end keeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamfx.engines.errors import EngineError

Array = NDArray[Any]
Precision = Literal["auto", "bf16", "fp16", "fp32"]

# Takes what is being done, and the share of it that is done, 0..1.
Progress = Callable[[str, float], None]

_LONGEST_CAUSE = 300


def silent(_: str, __: float) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Available:
    """A back end that works here.

    Attributes:
        version: of the library behind it.
        device: the device it would use, in words.
        precisions: what `EngineOptions.precision` may name, the one that "auto" takes first.
    """

    version: str
    device: str
    precisions: tuple[str, ...]

    def settle(self, precision: str, backend: str) -> str:
        """The precision to run in, one of `precisions`, where `precision` was asked for.

        Raises:
            EngineError: it is not one of them.
        """
        if precision == "auto":
            return self.precisions[0]
        if precision not in self.precisions:
            raise EngineError(
                f"{backend} on {self.device} does not list {precision} (it lists "
                f"{', '.join(self.precisions)}); use precision auto or {self.precisions[-1]}"
            )
        return precision


@dataclass(frozen=True)
class Unavailable:
    """A back end that does not work here: why not, and what would change that."""

    reason: str
    fix: str


@dataclass(frozen=True)
class EngineOptions:
    """How an engine runs.

    Attributes:
        precision: "auto" takes the fastest one that the back end trusts on this device; a
            named one is kept or refused, never replaced.
        threads: CPU threads, at least 1; None = every core that this process may use.
    """

    precision: Precision = "auto"
    threads: int | None = None

    def thread_count(self) -> int:
        """`threads`, or the number of cores that this process may use.

        Raises:
            EngineError: `threads` is below 1.
        """
        if self.threads is None:
            if hasattr(os, "sched_getaffinity"):
                return len(os.sched_getaffinity(0))
            return os.cpu_count() or 1
        if self.threads < 1:
            raise EngineError(f"an engine needs at least 1 thread, not {self.threads}")
        return self.threads


@dataclass(frozen=True)
class EngineInfo:
    """What a running engine is: said in reports, logs and benchmarks."""

    backend: str
    device: str
    precision: str
    threads: int
    version: str


@dataclass(frozen=True)
class TensorSpec:
    """Shape and element type of one tensor; an engine's shapes are static."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Engine(Protocol):
    """A graph compiled for one frame size on one device.

    One thread at a time may call an engine, and it need not be the one that loaded it; `run`
    releases the GIL while it computes. Engines do not share state: two may run side by side.

    Attributes:
        info: what it is.
        inputs, outputs: name -> TensorSpec, in the graph's words (see contract.py).
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def inputs(self) -> Mapping[str, TensorSpec]: ...

    @property
    def outputs(self) -> Mapping[str, TensorSpec]: ...

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Compute `outputs` from `inputs`, writing into the caller's arrays.

        Every input and output is given, as C-contiguous arrays of exactly the shapes and types
        of `self.inputs` and `self.outputs`; outputs are writable and share no memory with an
        input or with each other. The arrays are bound, not copied, and the caller may change or
        reuse them as soon as the call is back; an engine may keep a bounded number of them
        alive to bind them faster when they come again. A read-only input may be copied.

        Raises:
            EngineError: a tensor is missing, unknown or of the wrong shape, type or layout; the
                engine is closed; or the device failed. What the outputs then hold is undefined.
        """
        ...

    def close(self) -> None:
        """Free the engine and every array it keeps; closing it again does nothing."""
        ...


class Backend(Protocol):
    """A way to run graphs. Back ends never stand in for each other in silence."""

    @property
    def name(self) -> str: ...

    def probe(self) -> Available | Unavailable:
        """Whether this back end works here; never raises, loads no graph."""
        ...

    def ready(
        self, graph: bytes, *, size: tuple[int, int], batch: int, options: EngineOptions
    ) -> bool:
        """Whether `load` would find what it needs; False where `build` must come first."""
        ...

    def build(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int,
        options: EngineOptions,
        progress: Progress = silent,
    ) -> None:
        """Make what `load` needs, in another process and for minutes where that is so.

        Nothing is built while a frame waits: see `streamfx.engines.load`.

        Raises:
            EngineError: it cannot be made here, failed, or took too long.
        """
        ...

    def load(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int = 1,
        options: EngineOptions,
    ) -> Engine:
        """Compile `graph`, a serialized ONNX model that keeps contract.py.

        Args:
            graph: self-contained; the caller bounds its size.
            size: (height, width) of the frames, both even.
            batch: frames in one run, N.

        The engine has run once on zeros when this returns, so that its first frame costs what
        the others do and a graph that cannot run fails here.

        Raises:
            EngineError: the back end is unavailable, the graph is not a graph or breaks the
                contract, or the size or an option is not possible.
        """
        ...


class NeedsNoBuild:
    """The part of a `Backend` whose `load` compiles in a moment."""

    def ready(
        self, graph: bytes, *, size: tuple[int, int], batch: int, options: EngineOptions
    ) -> bool:
        return True

    def build(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int,
        options: EngineOptions,
        progress: Progress = silent,
    ) -> None:
        progress("nothing to build", 1.0)


def check_tensors(
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    input_specs: Mapping[str, TensorSpec],
    output_specs: Mapping[str, TensorSpec],
) -> None:
    """Hold what `Engine.run` was given against what it asks for.

    Raises:
        EngineError: they differ; the message names the first tensor that does.
    """
    for given, specs in ((inputs, input_specs), (outputs, output_specs)):
        if given.keys() != specs.keys():
            wrong = ", ".join(sorted(given.keys() ^ specs.keys()))
            raise EngineError(f"the engine takes {', '.join(specs)}; missing or unknown: {wrong}")
        for name, spec in specs.items():
            array = given[name]
            if not isinstance(array, np.ndarray):
                raise EngineError(f"{name} lies in a GPU's memory, where this engine cannot work")
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise EngineError(
                    f"{name} must be {spec.dtype} {list(spec.shape)}, "
                    f"not {array.dtype} {list(array.shape)}"
                )
            if not array.flags.c_contiguous:
                raise EngineError(f"{name} must be C-contiguous")
    for name in output_specs:
        if not outputs[name].flags.writeable:
            raise EngineError(f"{name} is an output and must be writable")


def run_on_zeros(engine: Engine) -> None:
    """Run `engine` once on zeros: lazy set-up happens now, and so do failures."""
    inputs = {name: np.zeros(spec.shape, spec.dtype) for name, spec in engine.inputs.items()}
    outputs = {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
    engine.run(inputs, outputs)


def cause(error: BaseException) -> str:
    """A library's many-line error as one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_CAUSE else text[:_LONGEST_CAUSE] + " …"
