"""A bounded pipe of bytes between a connection's thread and FFmpeg's."""

from __future__ import annotations

import time
from collections import deque
from threading import Condition

MOST = 8 << 20  # bytes that wait: some seconds of a stream
_PATIENCE = 5.0  # seconds that the writer waits for room


class Pipe:
    """What FFmpeg reads as a file: `read` gives what is there, b"" at the end.

    Args:
        timeout: seconds that a read waits for bytes.
    """

    def __init__(self, timeout: float) -> None:
        self.name = "rtmp"
        self._timeout = timeout
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = Condition()

    @property
    def closed(self) -> bool:
        return self._closed

    def write(self, data: bytes) -> bool:
        """Hand bytes over, waiting for room; False where nobody takes them any more."""
        deadline = time.monotonic() + _PATIENCE
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or self._waiting + len(data) <= MOST,
                deadline - time.monotonic(),
            )
            if self._closed or not room:
                return False
            self._parts.append(data)
            self._waiting += len(data)
            self._changed.notify_all()
            return True

    def read(self, count: int) -> bytes:
        """At most `count` bytes.

        Raises:
            TimeoutError: none came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._parts or self._closed, self._timeout):
                raise TimeoutError("nothing came")
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if len(part) > count:
                self._parts.appendleft(part[count:])
                part = part[:count]
            self._waiting -= len(part)
            self._changed.notify_all()
            return part

    def close(self) -> None:
        """End it, from either side; what waits can still be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
