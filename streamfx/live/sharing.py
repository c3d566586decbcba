"""Engines for a server's streams: on a GPU, those of one size compute their frames together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from streamfx import engines
from streamfx.engines.base import Available, Backend, Engine, EngineOptions
from streamfx.engines.batching import LONGEST_WAIT, MOST_FRAMES, Batcher
from streamfx.engines.cache import graph_digest
from streamfx.engines.errors import EngineError
from streamfx.engines.tensorrt import FLAVOURS

Size = tuple[int, int]
_Key = tuple[str, str, Size, EngineOptions]

log = logging.getLogger(__name__)


class SharedEngines:
    """Gives streams their engines; any thread may call it.

    Where the back end is TensorRT and its engine was built for several frames at a time, streams
    of one graph, size and precision share a `Batcher`; their frames are computed together, and
    each keeps its own past. Everywhere else a stream has an engine of its own.

    Args:
        backends: see `streamfx.engines.backends`.
        wait: seconds that a frame waits for those of other streams at most.
    """

    def __init__(
        self,
        backends: Callable[[], tuple[Backend, ...]] = engines.backends,
        wait: float = LONGEST_WAIT,
    ) -> None:
        self._wait = wait
        self._backends = backends
        self._batchers: dict[_Key, Batcher] = {}
        self._lock = Lock()

    def load(self, graph: bytes, size: Size, *, backend: str, options: EngineOptions) -> Engine:
        """See `streamfx.engines.load`."""
        found = self._for_several(graph, size, backend, options)
        if found is None:
            return engines.load(graph, size, backend=backend, options=options)

        def load(batch: int) -> Engine:
            return found.load(graph, size=size, batch=batch, options=options)

        key = (found.name, graph_digest(graph), size, options)
        with self._lock:
            # One that its last stream has left is closed for good.
            self._batchers = {k: each for k, each in self._batchers.items() if each.members}
            try:
                member = self._batchers[key].join()
            except (KeyError, EngineError):
                self._batchers[key] = Batcher(load, wait=self._wait)
                member = self._batchers[key].join()
            words = (self._batchers[key].members, size[1], size[0], found.name)
        log.info("%d of the streams of %dx%d share an engine of %s", *words)
        return member

    def _for_several(
        self, graph: bytes, size: Size, name: str, options: EngineOptions
    ) -> Backend | None:
        """The back end that would be taken, if its engine takes several frames at a time."""
        for each in self._backends():
            if name not in ("auto", each.name) or not isinstance(each.probe(), Available):
                continue
            if each.name in FLAVOURS and each.ready(
                graph, size=size, batch=MOST_FRAMES, options=options
            ):
                return each
            if each.ready(graph, size=size, batch=1, options=options):
                return None
        return None
