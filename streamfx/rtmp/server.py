"""A listener for publishers: many streams on one port, each behind its own key.

FFmpeg's listener takes one publisher and any key. The RTMP servers in Python that exist are
unmaintained or take memory without bound, so this one is our own: it only takes publishers,
checks the application and the key, and passes FLV on to FFmpeg.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import time
from threading import BoundedSemaphore, Condition, Lock, Thread

from streamfx.errors import StreamFXError
from streamfx.rtmp import amf
from streamfx.rtmp.chunks import AUDIO, DATA, VIDEO, Message
from streamfx.rtmp.flv import HEADER, tag
from streamfx.rtmp.link import Closed, Link, command_of
from streamfx.rtmp.pipe import Pipe

MOST_CONNECTIONS = 32
_SETUP_SECONDS = 10.0  # from the connection to the publishing
_SILENCE = 10.0  # seconds without a byte after which a publisher is gone
_READ_TIMEOUT = 5.0
_STREAM = 1
_SET_DATA_FRAME = amf.encode("@setDataFrame")

log = logging.getLogger(__name__)


class Route:
    """Where the publisher of one application and key goes; made by `RtmpServer.route`."""

    def __init__(self, app: str, key: str) -> None:
        self.app = app
        self.key = key
        self._changed = Condition()
        self._pipe: Pipe | None = None
        self._taken = True  # by the reader, and of no use to the next one
        self._closed = False

    def wait(self, timeout: float) -> Pipe | None:
        """The FLV of the publisher that comes next, None if none does in time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._closed, timeout)
            if self._taken or self._closed:
                return None
            self._taken = True
            return self._pipe

    def offer(self) -> Pipe | None:
        """A pipe for a publisher, None where there is one already, or nobody listens."""
        with self._changed:
            if self._closed or (self._pipe is not None and not self._pipe.closed):
                return None
            self._pipe, self._taken = Pipe(_READ_TIMEOUT), False
            self._changed.notify_all()
            return self._pipe

    def close(self) -> None:
        """Let the publisher go and take no other."""
        with self._changed:
            self._closed = True
            if self._pipe is not None:
                self._pipe.close()
            self._changed.notify_all()


class RtmpServer:
    """Listens on one address until `close`.

    Raises:
        StreamFXError: it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._sock = socket.create_server((host, port), family=family, backlog=16)
        except OSError as error:
            raise StreamFXError(
                f"cannot listen for RTMP on {host}:{port}: {error.strerror or error}"
            ) from error
        self.port: int = self._sock.getsockname()[1]
        self._routes: list[Route] = []
        self._lock = Lock()
        self._links: set[Link] = set()
        self._room = BoundedSemaphore(MOST_CONNECTIONS)
        self._closed = False
        self._thread = Thread(target=self._accept, name=f"rtmp-{self.port}", daemon=True)
        self._thread.start()

    def route(self, app: str, key: str) -> Route:
        """Take publishers with this application and key.

        Raises:
            StreamFXError: somebody waits for them already.
        """
        with self._lock:
            if any((route.app, route.key) == (app, key) for route in self._routes):
                raise StreamFXError(f"two sources cannot share one key of /{app}")
            route = Route(app, key)
            self._routes.append(route)
            return route

    def remove(self, route: Route) -> bool:
        """Take no more publishers for a route; whether any other is left."""
        route.close()
        with self._lock:
            self._routes = [each for each in self._routes if each is not route]
            return bool(self._routes)

    def close(self) -> None:
        """End everything."""
        self._closed = True
        # Closing alone does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        with self._lock:
            routes, links = list(self._routes), list(self._links)
        for route in routes:
            route.close()
        for link in links:
            link.close()
        self._thread.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, address = self._sock.accept()
            except OSError as error:
                if not self._closed:
                    log.warning("RTMP: a connection cannot be taken: %s", error)
                    time.sleep(0.1)
                continue
            if not self._room.acquire(blocking=False):
                log.warning("RTMP: %d connections, one more is refused", MOST_CONNECTIONS)
                sock.close()
                continue
            Thread(
                target=self._serve, args=(sock, address[0]), name="rtmp-publisher", daemon=True
            ).start()

    def _serve(self, sock: socket.socket, peer: str) -> None:
        sock.settimeout(_READ_TIMEOUT)
        link = Link(sock)
        with self._lock:
            self._links.add(link)
        try:
            _Publisher(self, link, peer).run()
        except (OSError, StreamFXError, ValueError) as error:
            if not self._closed:
                log.info("RTMP: %s: %s", peer, error)
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()
            self._room.release()

    def find(self, app: str, key: str) -> Route | None:
        """The route of an application and a key; how long it takes tells nothing of the key."""
        with self._lock:
            routes = list(self._routes)
        found = None
        for route in routes:
            same = hmac.compare_digest(
                f"{route.app}/{route.key}".encode("utf-8", "surrogateescape"),
                f"{app}/{key}".encode("utf-8", "surrogateescape"),
            )
            found = route if same else found
        return found


class _Publisher:
    """One connection: it connects, names its key, and sends."""

    def __init__(self, server: RtmpServer, link: Link, peer: str) -> None:
        self._server = server
        self._link = link
        self._peer = peer
        self._app = ""
        self._pipe: Pipe | None = None
        self._begun = time.monotonic()

    def run(self) -> None:
        try:
            self._link.shake_hands(server=True)
            while self._go_on():
                for message in self._receive():
                    if not self._take(message):
                        return
        finally:
            if self._pipe is not None:
                self._pipe.close()
                log.info("RTMP: the publisher at %s left", self._peer)

    def _receive(self) -> list[Message]:
        try:
            return self._link.receive()
        except TimeoutError:
            return []

    def _go_on(self) -> bool:
        now = time.monotonic()
        if self._pipe is None and now - self._begun > _SETUP_SECONDS:
            raise Closed("it did not publish in time")
        if now - self._link.heard > _SILENCE:
            raise Closed("it fell silent")
        return self._pipe is None or not self._pipe.closed

    def _take(self, message: Message) -> bool:
        """Deal with a message; False at the end."""
        said = command_of(message)
        if said:
            return self._command(said)
        if self._pipe is None or message.kind not in (AUDIO, VIDEO, DATA):
            return True
        if message.kind == DATA:
            payload = message.payload.removeprefix(_SET_DATA_FRAME)
            message = Message(DATA, payload, message.timestamp, message.stream, message.channel)
        return self._pipe.write(tag(message))

    def _command(self, said: list[amf.Value]) -> bool:
        name, transaction = said[0], said[1] if len(said) > 1 else 0.0
        if name == "connect":
            about = said[2] if len(said) > 2 else None
            self._app = str(about.get("app") or "").strip("/") if isinstance(about, dict) else ""
            self._connected(transaction)
        elif name == "createStream":
            self._link.command("_result", transaction, None, float(_STREAM))
        elif name == "publish" and self._pipe is None:
            key = said[3] if len(said) > 3 else None
            return self._publish(key if isinstance(key, str) else "")
        elif name == "play":
            self._status("error", "NetStream.Play.Failed", "nothing is played here")
            return False
        return name not in ("deleteStream", "closeStream", "FCUnpublish")

    def _connected(self, transaction: amf.Value) -> None:
        self._link.limit_peer()
        self._link.begin()
        about: dict[str, amf.Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
        information: dict[str, amf.Value] = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "connected",
            "objectEncoding": 0.0,
        }
        self._link.command("_result", transaction, about, information)

    def _publish(self, key: str) -> bool:
        app, _, folder = self._app.partition("?")[0].partition("/")
        # OBS sends "APP/FOLDER" as the application where the address has more parts.
        route = self._server.find(app, f"{folder}/{key}" if folder else key)
        route = route or self._server.find(self._app, key)
        pipe = None if route is None else route.offer()
        if route is None or pipe is None:
            reason = "the stream key is wrong" if route is None else "somebody publishes there"
            log.warning("RTMP: the publisher at %s is refused: %s", self._peer, reason)
            self._status("error", "NetStream.Publish.BadName", reason)
            return False
        self._pipe = pipe
        log.info("RTMP: a publisher at %s came to /%s", self._peer, route.app)
        self._status("status", "NetStream.Publish.Start", "publishing")
        return pipe.write(HEADER)

    def _status(self, level: str, code: str, description: str) -> None:
        information: dict[str, amf.Value] = {
            "level": level,
            "code": code,
            "description": description,
        }
        self._link.command("onStatus", 0.0, None, information, stream=_STREAM)
