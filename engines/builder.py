"""The process that builds one engine: `python -m streamfx.engines.builder FOLDER`.

It reads a job (see `streamfx.engines.build.Job`) as a line of JSON and the graph from
FOLDER/graph.onnx, writes FOLDER/plan, prints progress as lines of JSON, and ends when its standard
input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx

from streamfx.engines import graph as graphs
from streamfx.engines.base import cause
from streamfx.engines.build import Job
from streamfx.engines.errors import EngineError
from streamfx.engines.typed import lower, uint8_at_the_edges

Shape = tuple[int, ...]
Say = Callable[[str, float], None]

_KEPT_ERRORS = 5
# What runs meanwhile goes first.
_BEHIND_FRAMES = 10


def main() -> None:
    """Build, and exit with 0 if there is a plan."""
    folder = Path(sys.argv[1])
    if hasattr(os, "nice"):
        os.nice(_BEHIND_FRAMES)
    try:
        job = Job(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        trt = import_module(job.module)
        model, profile = prepare(job, (folder / "graph.onnx").read_bytes())
        plan = build(trt, model, profile, tuple(job.capabilities), _say)
        (folder / "plan").write_bytes(plan)
    except (EngineError, ImportError, OSError, RuntimeError, MemoryError) as error:
        _print({"error": cause(error)})
        sys.exit(1)


def prepare(job: Job, graph: bytes) -> tuple[onnx.ModelProto, dict[str, tuple[Shape, Shape]]]:
    """The typed graph with its sizes fixed, and for each input its smallest and largest shape
    where the batch is left open.

    Raises:
        EngineError: see `read_graph`, `tensor_specs`, `freeze` and `lower`.
    """
    model, spec = graphs.read_graph(graph)
    size = (job.height, job.width)
    one, _ = graphs.tensor_specs(spec, size, 1)
    model = graphs.freeze(model, one)
    profile = {}
    if job.batch > 1:
        most, _ = graphs.tensor_specs(spec, size, job.batch)
        profile = {name: (one[name].shape, most[name].shape) for name in one}
        for value in model.graph.input:
            if value.name in profile:
                value.type.tensor_type.shape.dim[0].dim_param = "N"
    return lower(uint8_at_the_edges(model), job.precision), profile


def build(
    trt: Any,
    model: onnx.ModelProto,
    profile: Mapping[str, tuple[Shape, Shape]],
    capabilities: tuple[int, ...],
    say: Say,
) -> bytes:
    """A serialized engine. In one process only the first build can be relied on.

    Args:
        trt: the TensorRT module.
        profile: smallest and largest shape by input, where the graph leaves some open; the
            engine is best at the largest.
        capabilities: the SMs to build for, where the module can choose.

    Raises:
        EngineError: TensorRT refuses the graph, or needs a GPU that is not there.
    """
    said: list[str] = []
    logger = _logger(trt, said)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what a null pointer becomes
        raise EngineError(
            f"this TensorRT builds only where there is a GPU ({_why(said)})"
        ) from error
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        places = "; ".join(f"{e.node_operator()}: {cause(Exception(e.desc()))}" for e in errors)
        raise EngineError(f"TensorRT cannot read the graph: {places or _why(said)}")
    config = builder.create_builder_config()
    config.progress_monitor = _monitor(trt, say)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
        for index, sm in enumerate(capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{sm}"), index)
    if profile:
        shapes = builder.create_optimization_profile()
        for name, (least, most) in profile.items():
            shapes.set_shape(name, least, most, most)
        config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT cannot build the engine: {_why(said)}")
    return bytes(plan)


def _logger(trt: Any, said: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and len(said) < _KEPT_ERRORS:
                said.append(" ".join(message.split()))

    return Logger()


def _monitor(trt: Any, say: Say) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports the outermost phase; the others are parts of its steps."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outer: tuple[str, int] | None = None

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if self._outer is None:
                self._outer = (name, steps)
                say(name, 0.0)

        def step_complete(self, name: str, step: int) -> bool:
            if self._outer is not None and self._outer[0] == name:
                say(name, min(1.0, (step + 1) / max(1, self._outer[1])))
            return True

        def phase_finish(self, name: str) -> None:
            if self._outer is not None and self._outer[0] == name:
                say(name, 1.0)
                self._outer = None

    return Monitor()


def _why(said: list[str]) -> str:
    return cause(Exception("; ".join(said) or "it says no more"))


def _say(phase: str, share: float) -> None:
    _print({"phase": phase, "share": share})


def _print(message: Mapping[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
