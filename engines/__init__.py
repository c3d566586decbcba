"""From an ONNX graph to a running engine on the machine at hand.

`load` compiles a graph; `backends` says what this machine has. A named back end is used or
refused. "auto" takes the first one in the order of `backends()` that says it is available, and
`Engine.info.backend` says which one that was.
"""

from __future__ import annotations

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
    "load",
]


def backends() -> tuple[Backend, ...]:
    """Every back end, in the order in which "auto" asks them."""
    # Imported here because they read ONNX: whoever wants an EngineError alone loads no library.
    from streamfx.engines.onnxruntime import ONNXRuntimeBackend
    from streamfx.engines.openvino import OpenVINOBackend

    return (OpenVINOBackend(), ONNXRuntimeBackend())


def load(
    graph: bytes,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    batch: int = 1,
    options: EngineOptions | None = None,
) -> Engine:
    """Compile `graph` for frames of `size` = (height, width); see `Backend.load`.

    Args:
        backend: a name out of `backends()`, or "auto".
        options: None = the defaults of `EngineOptions`.

    Raises:
        EngineError: the back end is unknown or unavailable, or it refuses the graph.
    """
    chosen = choose(backend)
    return chosen.load(graph, size=size, batch=batch, options=options or EngineOptions())


def choose(name: str) -> Backend:
    """The back end called `name`, or for "auto" the first available one.

    Raises:
        EngineError: there is no such back end, or it is unavailable.
    """
    known = backends()
    asked = known if name == "auto" else [each for each in known if each.name == name]
    if not asked:
        names = ", ".join(each.name for each in known)
        raise EngineError(f"there is no back end {name!r}; use auto, {names}")
    reasons = []
    for each in asked:
        found = each.probe()
        if isinstance(found, Available):
            return each
        reasons.append(f"{each.name}: {found.reason}; try: {found.fix}")
    raise EngineError(f"no back end is available ({' | '.join(reasons)})")
