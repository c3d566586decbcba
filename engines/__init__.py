"""From an ONNX graph to a running engine on the machine at hand.

`load` gives an engine for a graph; `backends` says what this machine has. A named back end is
used or refused. "auto" takes the best one that is ready, `Engine.info` says which that was, and a
better one that must be built first is built beside it. On a CPU,
what `streamfx.engines.tuning` has measured to be fastest takes the place of the defaults.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from streamfx.engines.base import (
    Array,
    Available,
    Backend,
    Engine,
    EngineInfo,
    EngineOptions,
    TensorSpec,
    Unavailable,
)
from streamfx.engines.errors import EngineError

__all__ = [
    "Array",
    "Available",
    "Backend",
    "Engine",
    "EngineError",
    "EngineInfo",
    "EngineOptions",
    "TensorSpec",
    "Unavailable",
    "backends",
    "choose",
    "load",
]

log = logging.getLogger(__name__)

# (back end, graph, precision) whose build failed in this process: once is enough.
_failed: set[tuple[str, str, str]] = set()


def backends() -> tuple[Backend, ...]:
    """Every back end that this operating system can have, in the order in which "auto" asks.

    The CPU's are always there, so that those after them are taken by name only.
    """
    # Imported here because they read ONNX: whoever wants an EngineError alone loads no library.
    from streamfx.engines.onnxruntime import onnxruntime_backends
    from streamfx.engines.openvino import OpenVINOBackend
    from streamfx.engines.tensorrt import RTX, TENSORRT, TensorRTBackend

    cuda, cpu, *others = onnxruntime_backends()
    return (
        TensorRTBackend(RTX),
        TensorRTBackend(TENSORRT),
        cuda,
        OpenVINOBackend("CPU"),
        cpu,
        OpenVINOBackend("GPU"),
        OpenVINOBackend("NPU"),
        *others,
    )


def load(
    graph: bytes,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    batch: int = 1,
    options: EngineOptions | None = None,
) -> Engine:
    """An engine of `graph` for frames of `size` = (height, width), without building one.

    With "auto", a better back end than the one that is taken may be there and lack only its
    built engine: it is then built beside the one that runs, which gives way between two frames
    (see streamfx.engines.upgrade).

    Args:
        backend: a name out of `backends()`, or "auto".
        options: None = the defaults of `EngineOptions`.

    Raises:
        EngineError: the back end is unknown or unavailable, its engine has not been built, or it
            refuses the graph.
    """
    options = options or EngineOptions()
    if backend != "auto":
        return _load(choose(backend), backend, graph, size, batch, options)
    unready: list[Backend] = []
    errors: list[EngineError] = []
    for each in _available(backends()):
        if not each.ready(graph, size=size, batch=batch, options=options):
            unready.append(each)
            continue
        try:
            engine = _load(each, backend, graph, size, batch, options)
        except EngineError as error:
            errors.append(error)
            log.warning("%s is left out: %s", each.name, error)
            continue
        return _with_upgrade(engine, unready, graph, size, batch, options)
    raise errors[0] if errors else EngineError("no engine has been built; try --backend openvino")


def choose(name: str) -> Backend:
    """The back end called `name`, or for "auto" the first available one.

    Raises:
        EngineError: there is no such back end, or it is unavailable.
    """
    known = backends()
    asked = known if name == "auto" else tuple(each for each in known if each.name == name)
    if not asked:
        names = ", ".join(each.name for each in known)
        raise EngineError(f"there is no back end {name!r}; use auto, {names}")
    return next(_available(asked))


def _load(
    backend: Backend,
    asked: str,
    graph: bytes,
    size: tuple[int, int],
    batch: int,
    options: EngineOptions,
) -> Engine:
    """An engine of `backend`, or in a CPU's place of what was measured to be fastest on it."""
    from streamfx.engines.choices import CPU_BACKENDS, remembered

    if backend.name in CPU_BACKENDS:
        choice = remembered(graph, size, backend=asked, batch=batch, options=options)
        if choice is not None:
            try:
                engine = choice.load(graph, size=size, batch=batch)
                log.info("%s was measured to be fastest here and is taken", choice)
                return engine
            except EngineError as error:
                log.warning("%s, which was measured to be fastest, is left out: %s", choice, error)
    return backend.load(graph, size=size, batch=batch, options=options)


def _available(asked: tuple[Backend, ...]) -> Iterator[Backend]:
    """Those that work here, each probed when its turn comes; raises where none does."""
    reasons = []
    for each in asked:
        found = each.probe()
        if isinstance(found, Available):
            yield each
        else:
            reasons.append(f"{each.name}: {found.reason}; try: {found.fix}")
    if len(reasons) == len(asked):
        raise EngineError(f"no back end is available ({' | '.join(reasons)})")


def _with_upgrade(
    engine: Engine,
    unready: list[Backend],
    graph: bytes,
    size: tuple[int, int],
    batch: int,
    options: EngineOptions,
) -> Engine:
    from streamfx.engines.cache import graph_digest
    from streamfx.engines.upgrade import UpgradingEngine

    digest = graph_digest(graph)
    keys = {(each.name, digest, options.precision): each for each in unready}
    left = [(key, each) for key, each in keys.items() if key not in _failed]
    if not left:
        return engine

    def better() -> Engine:
        reasons = []
        for key, each in left:
            try:
                if not each.ready(graph, size=size, batch=batch, options=options):
                    each.build(graph, size=size, batch=batch, options=options)
                return each.load(graph, size=size, batch=batch, options=options)
            except EngineError as error:
                _failed.add(key)
                reasons.append(f"{each.name}: {error}")
        raise EngineError("; ".join(reasons))

    names = ", ".join(each.name for _, each in left)
    log.info("%s runs while %s is made ready", engine.info.backend, names)
    return UpgradingEngine(engine, better)
