"""The WebRTC sessions of a server: found by their secret, bounded in number, ended in time.

A publisher that falls silent goes off the air after 3 s: viewers see its last picture with a
notice, and another publisher may take the stream. When it is heard again it returns, unless one
has; after 10 s it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from streamfx.errors import StreamFXError
from streamfx.live.stream import LiveStream
from streamfx.server.config import ServerConfig
from streamfx.server.hub import Busy, Hub
from streamfx.server.peers import Peer, Publisher, State
from streamfx.server.sdp import Direction

SILENT_SECONDS = 3.0
GONE_SECONDS = 10.0  # aioice itself notices after 30 s
DEAF_SECONDS = 12.0  # without a receiver report; browsers send one at least every 5 s
CLOSE_SECONDS = 5.0
_LOOK_EVERY = 0.25

Verdict = Literal["well", "silent", "gone", "not connected"]
log = logging.getLogger(__name__)


def judge(
    direction: Direction, state: State, *, age: float, silence: float | None, handshake: float
) -> Verdict:
    """What to think of a session.

    Args:
        age: seconds since it began.
        silence: seconds since anything was heard, None if nothing ever was.
        handshake: seconds that connecting may take.
    """
    if state == "closed":
        return "gone"
    if state == "connecting":
        return "not connected" if age > handshake else "well"
    if direction == "watch":
        return "gone" if silence is not None and silence > DEAF_SECONDS else "well"
    # A publisher that connected late is heard at once, so its age stands for its silence.
    quiet = max(0.0, age - handshake) if silence is None else silence
    if quiet > GONE_SECONDS:
        return "gone"
    return "silent" if quiet > SILENT_SECONDS else "well"


@dataclass(eq=False)
class Session:
    """One peer and what HTTP knows it by.

    Attributes:
        id: for logs; says nothing of the secret.
        secret: names the session in the URL that its client was given.
        etag: names its ICE session (RFC 9725 section 4.3).
        username: of the client's ICE session.
        live: the stream that a publisher sends to, while it is on the air.
    """

    direction: Direction
    stream: str
    peer: Peer
    username: str | None
    live: LiveStream | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    etag: str = field(default_factory=lambda: f'"{secrets.token_hex(8)}"')
    began: float = field(default_factory=time.monotonic)


class Sessions:
    """All sessions of one server; used on its event loop.

    Args:
        hub: whose streams they publish and watch.
        config: bounds and time-outs.
    """

    def __init__(self, hub: Hub, config: ServerConfig) -> None:
        self._hub = hub
        self._handshake = config.handshake_seconds
        # Twice the streams: a publisher that vanished is not gone yet when it returns.
        self._most = {"publish": 2 * config.max_streams, "watch": config.max_viewers}
        self._coming: Counter[str] = Counter()
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        hub.on_closed.append(self._stream_closed)

    def counts(self) -> dict[tuple[str, str], int]:
        """(direction, state of the connection) -> sessions."""
        return Counter((s.direction, s.peer.state) for s in self._sessions.values())

    def find(self, direction: Direction, secret: str) -> Session | None:
        """The session of a secret, None if it has ended or never was."""
        session = self._sessions.get(secret)
        return session if session is not None and session.direction == direction else None

    def reserve(self, direction: Direction) -> Reservation:
        """Room for one more session while it is negotiated.

        Raises:
            Busy: there are as many as the configuration allows.
        """
        there = sum(s.direction == direction for s in self._sessions.values())
        if self._closing or there + self._coming[direction] >= self._most[direction]:
            log.warning("session refused", extra={"direction": direction, "sessions": there})
            raise Busy(f"this server has no room for one more to {direction}; try again later")
        return Reservation(self._coming, direction)

    def add(self, session: Session) -> None:
        """Keep a session until it ends."""
        self._sessions[session.secret] = session
        extra = {"stream": session.stream, "session": session.id}
        log.info(f"{session.direction} session began", extra=extra)
        task = asyncio.create_task(self._keep(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, session: Session, reason: str) -> None:
        """End a session and tell its peer; ending again does nothing."""
        if self._sessions.pop(session.secret, None) is None:
            return
        extra: dict[str, object] = {
            "stream": session.stream,
            "session": session.id,
            "reason": reason,
        }
        if isinstance(session.peer, Publisher):
            extra |= session.peer.counts
        log.info(f"{session.direction} session ended", extra=extra)
        self._leave(session)
        await close_peer(session.peer)

    async def close(self) -> None:
        """End all sessions, and take no more."""
        self._closing = True
        await asyncio.gather(
            *(self.end(session, "server closes") for session in list(self._sessions.values()))
        )
        await asyncio.gather(*self._tasks)

    async def _keep(self, session: Session) -> None:
        while session.secret in self._sessions:
            now = time.monotonic()
            heard = session.peer.heard
            verdict = judge(
                session.direction,
                session.peer.state,
                age=now - session.began,
                silence=None if heard is None else now - heard,
                handshake=self._handshake,
            )
            if session.peer.ended.is_set():
                return await self.end(session, "closed by the peer, or its stream ended")
            if verdict in ("gone", "not connected"):
                return await self.end(session, verdict)
            if isinstance(session.peer, Publisher):
                if verdict == "silent":
                    self._leave(session)
                elif session.live is None and not self._return(session, session.peer):
                    return await self.end(session, "another publisher has the stream")
            try:
                await asyncio.wait_for(session.peer.ended.wait(), _LOOK_EVERY)
            except TimeoutError:
                continue
        return None

    def _leave(self, session: Session) -> None:
        """Off the air; a stream that is another's by now is not touched."""
        live, session.live = session.live, None
        if isinstance(session.peer, Publisher):
            session.peer.sink = None
        if live is not None and self._hub.get(session.stream) is live:
            self._hub.publisher_left(session.stream)

    def _return(self, session: Session, peer: Publisher) -> bool:
        try:
            session.live = peer.sink = self._hub.open(session.stream)
        except StreamFXError:
            return False
        return True

    def _stream_closed(self, name: str) -> None:
        for session in list(self._sessions.values()):
            live = session.live
            if live is not None and session.stream == name and self._hub.get(name) is not live:
                session.live = None
                session.peer.ended.set()


class Reservation:
    """Keeps room for a session that is not there yet, as a context."""

    def __init__(self, coming: Counter[str], direction: Direction) -> None:
        self._coming = coming
        self._direction = direction

    def __enter__(self) -> None:
        self._coming[self._direction] += 1

    def __exit__(self, *_: object) -> None:
        self._coming[self._direction] -= 1


async def close_peer(peer: Peer) -> None:
    """Close a peer, within 5 s; never raises, for whoever ends several must get to the last."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await peer.close()
    except TimeoutError:
        log.warning("a connection did not close in time and is left")
    except Exception:
        log.exception("a connection did not close cleanly and is left")


SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)
