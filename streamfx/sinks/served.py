"""MPEG-TS that others fetch, over TCP or HTTP: what a media source of OBS or VLC opens."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections import deque
from threading import Condition, Lock, Thread

from streamfx.errors import StreamFXError

MOST_READERS = 16
_MOST_WAITING = 4 << 20  # bytes for one reader: some seconds
_TIMEOUT = 5.0
_LONGEST_REQUEST = 16 << 10
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n"
)

log = logging.getLogger(__name__)


class TsServer:
    """Listens, and gives everybody who comes what is sent from then on.

    A reader that takes nothing loses what waits for it, and is let go after 5 s.

    Args:
        http: whether readers ask with an HTTP request first.

    Attributes:
        port: where it listens.
        dropped: bytes that slow readers did not get.

    Raises:
        StreamFXError: it cannot listen there.
    """

    def __init__(self, host: str, port: int, *, http: bool) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._sock = socket.create_server((host, port), family=family)
        except OSError as error:
            raise StreamFXError(
                f"cannot listen on {host}:{port}: {error.strerror or error}"
            ) from error
        self.port: int = self._sock.getsockname()[1]
        self.dropped = 0
        self._http = http
        self._readers: tuple[_Reader, ...] = ()
        self._lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._accept, name=f"ts-{self.port}", daemon=True)
        self._thread.start()

    @property
    def readers(self) -> int:
        """How many fetch it now."""
        return len(self._readers)

    def send(self, data: bytes) -> None:
        """Give everybody these bytes, whole packets; it never blocks."""
        for reader in self._readers:
            self.dropped += reader.offer(data)

    def close(self) -> None:
        """End everything."""
        self._closed = True
        with contextlib.suppress(OSError):  # closing alone does not wake a thread that accepts
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        for reader in self._readers:
            reader.close()
        self._thread.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._sock.accept()
            except OSError as error:
                if not self._closed:
                    log.warning("a reader cannot be taken: %s", error)
                    time.sleep(0.1)
                continue
            if len(self._readers) >= MOST_READERS:
                log.warning("%d readers, one more is refused", MOST_READERS)
                sock.close()
                continue
            sock.settimeout(_TIMEOUT)
            reader = _Reader(sock)
            with self._lock:
                self._readers = (*self._readers, reader)
            Thread(target=self._serve, args=(reader,), name="ts-reader", daemon=True).start()

    def _serve(self, reader: _Reader) -> None:
        try:
            reader.run(http=self._http)
        except OSError as error:
            log.debug("a reader left: %s", error)
        finally:
            with self._lock:
                self._readers = tuple(each for each in self._readers if each is not reader)
            reader.close()


class _Reader:
    """One who fetches the stream."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._ready = self._closed = False
        self._changed = Condition()

    def offer(self, data: bytes) -> int:
        """Take bytes; how many were thrown away for it."""
        with self._changed:
            if not self._ready:
                return 0
            lost = 0
            if self._waiting + len(data) > _MOST_WAITING:
                lost = self._waiting
                self._parts.clear()
                self._waiting = 0
            self._parts.append(data)
            self._waiting += len(data)
            self._changed.notify_all()
            return lost

    def run(self, *, http: bool) -> None:
        if http and not self._asked():
            return
        with self._changed:
            self._ready = True
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._parts or self._closed)
                if self._closed:
                    return
                part = self._parts.popleft()
                self._waiting -= len(part)
            self._sock.sendall(part)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _asked(self) -> bool:
        """Read a request and answer it; whether the stream follows."""
        request = b""
        while b"\r\n\r\n" not in request:
            part = self._sock.recv(4096)
            request += part
            if not part or len(request) > _LONGEST_REQUEST:
                return False
        method = request.split(b" ", 1)[0]
        if method not in (b"GET", b"HEAD"):
            self._sock.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n\r\n")
            return False
        self._sock.sendall(_ANSWER)
        return method == b"GET"


class ServedWire:
    """A server as a wire; it outlives the output."""

    def __init__(self, server: TsServer) -> None:
        self._server = server

    def send(self, data: bytes) -> None:
        self._server.send(data)

    def close(self) -> None:
        pass
