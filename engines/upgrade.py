"""Starting on an engine that is ready while a better one is made, and switching between frames."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from streamfx.engines.base import Array, Engine, EngineInfo, TensorSpec
from streamfx.engines.errors import EngineError
from streamfx.engines.residence import Resident

log = logging.getLogger(__name__)

# Two builds at a time would hold each other up, and what runs as well.
_one_at_a_time = threading.Lock()


class UpgradingEngine:
    """An engine that gives way to a better one as soon as that is there.

    `run` switches before a frame, never during one. Both keep the contract's tensors, so the next
    frame is given what the last one left, whichever engine that was: none is lost, and the
    picture goes on. If the better one cannot be had, a line in the log says why and the first
    one stays.

    Args:
        engine: what runs meanwhile; it is closed by the switch.
        better: makes the other one, on a thread of its own.
    """

    def __init__(self, engine: Engine, better: Callable[[], Engine]) -> None:
        self._engine = engine
        self._waiting: Engine | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.inputs: Mapping[str, TensorSpec] = engine.inputs
        self.outputs: Mapping[str, TensorSpec] = engine.outputs
        self._thread = threading.Thread(
            target=self._prepare, args=(better,), name="better engine", daemon=True
        )
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        """Of the engine that ran last, or will run first."""
        return self._engine.info

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        with self._lock:
            better, self._waiting = self._waiting, None
        if better is not None:
            self._engine.close()
            self._engine = better
            log.info("switched to %s %s on %s", *_words(better.info))
        self._engine.run(inputs, outputs)

    @property
    def resident(self) -> bool:
        """Whether the engine that runs next keeps tensors on its device; see `Resident`."""
        with self._lock:
            engine = self._waiting or self._engine
        return isinstance(engine, Resident) and engine.resident

    def place(self, name: str) -> Any:
        """Memory of the device of the engine that runs next."""
        with self._lock:
            engine = self._waiting or self._engine
        if not isinstance(engine, Resident):
            raise EngineError(f"{engine.info.backend} keeps nothing on a device")
        return engine.place(name)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the better engine is there or given up; False if time ran out."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, None
        self._engine.close()
        if waiting is not None:
            waiting.close()

    def _prepare(self, better: Callable[[], Engine]) -> None:
        try:
            with _one_at_a_time:
                if self._closed:
                    return
                engine = better()
        except EngineError as error:
            log.warning("%s %s on %s stays: %s", *_words(self._engine.info), error)
            return
        with self._lock:
            if not self._closed:
                if engine.inputs == self.inputs and engine.outputs == self.outputs:
                    self._waiting = engine
                    return
                log.error("the better engine has other tensors, and is not used")
        engine.close()


def _words(info: EngineInfo) -> tuple[str, str, str]:
    return info.backend, info.precision, info.device
