"""Publishers over RTMP as sources: one listener for each address, shared by its sources."""

from __future__ import annotations

from threading import Lock

from av.container import InputContainer

from streamfx.capture.pull import open_input
from streamfx.endpoints import Endpoint, listening_address, stream_key
from streamfx.rtmp.pipe import Pipe
from streamfx.rtmp.server import RtmpServer

_WAIT = 0.5  # seconds, after which it is looked whether to stop
# FFmpeg looks at a second of the stream at most before it plays.
_OPTIONS = {"fflags": "nobuffer", "analyzeduration": "1000000", "fpsprobesize": "0"}

_servers: dict[tuple[str, int], RtmpServer] = {}
_lock = Lock()


class Publishers:
    """The publishers of one `rtmp+listen:` address, one after the other.

    Raises:
        InputError, StreamFXError: it cannot listen there, or the key is taken.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._shown = endpoint.shown
        self._address = listening_address(endpoint)
        app, key = stream_key(endpoint)
        with _lock:
            server = _servers.get(self._address) or RtmpServer(*self._address)
            self._route = server.route(app, key)
            _servers[self._address] = server
        self._server = server
        self._pipe: Pipe | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    def open(self) -> InputContainer | None:
        """The next publisher's stream, None if nobody came in half a second."""
        self._pipe = self._route.wait(_WAIT)
        if self._pipe is None:
            return None
        return open_input(self._shown, self._pipe, "flv", _OPTIONS)

    def leave(self) -> None:
        """Let the publisher go that was opened last."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def close(self) -> None:
        """Listen no more; the last source of an address ends its listener."""
        with _lock:
            last = not self._server.remove(self._route)
            if last:
                _servers.pop(self._address, None)
        if last:
            self._server.close()
