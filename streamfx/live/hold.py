"""Pictures held back, so that the sound that was captured later is heard with them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition, Thread, current_thread

from streamfx.live.encoders import Packet
from streamfx.live.rungs import Target

Packets = Mapping[Target, Packet]

_MOST_HELD = 512  # pictures: two seconds at the highest frame rate, and twice that

log = logging.getLogger(__name__)


class Hold:
    """A bounded queue of encoded pictures and the thread that empties it, each when it is due.

    Encoded ones, for a second of them is some hundred kilobytes and not some hundred megabytes.
    Their order is kept: one that is to be held for less waits for those before it.

    Args:
        deliver: takes the packets of each picture, from one thread at a time.
    """

    def __init__(self, name: str, deliver: Callable[[Packets], None]) -> None:
        self._deliver = deliver
        self._held: deque[tuple[float, Packets]] = deque()
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"{name}-hold", daemon=True)
        self._thread.start()

    def put(self, packets: Packets, seconds: float) -> None:
        """Deliver a picture after so long; at once, from here, where nothing is to wait for."""
        with self._changed:
            # One that is being delivered is still in the queue: none overtakes it.
            if seconds > 0 or self._held:
                if len(self._held) < _MOST_HELD:
                    self._held.append((time.monotonic() + seconds, packets))
                    self._changed.notify_all()
                else:
                    log.warning("a picture is left out: %d are held back already", _MOST_HELD)
                return
        self._deliver(packets)

    def close(self) -> None:
        """End the thread; what is held is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (packets := self._next()) is not None:
            self._deliver(packets)
            with self._changed:
                self._held.popleft()

    def _next(self) -> Packets | None:
        with self._changed:
            while not self._closed:
                if not self._held:
                    self._changed.wait()
                    continue
                due, packets = self._held[0]
                left = due - time.monotonic()
                if left <= 0:
                    return packets
                self._changed.wait(left)
        return None
