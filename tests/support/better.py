"""A back end that is better than those at hand, and has to build its engine first."""

from __future__ import annotations

import threading

from streamfx import engines
from streamfx.engines.base import Progress, silent
from streamfx.engines.onnxruntime import ONNXRuntimeBackend


class Better(ONNXRuntimeBackend):
    """A back end with a real engine that must be built first; `go` lets the build end."""

    def __init__(self, error: str = "") -> None:
        super().__init__()
        self.name = "better"
        self.go = threading.Event()
        self.builds = 0
        self._error = error

    def ready(self, *_: object, **__: object) -> bool:
        return self.go.is_set() and not self._error

    def build(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int,
        options: engines.EngineOptions,
        progress: Progress = silent,
    ) -> None:
        self.builds += 1
        assert self.go.wait(60)
        if self._error:
            raise engines.EngineError(self._error)
