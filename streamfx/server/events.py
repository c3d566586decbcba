"""Server-sent events: what the streams do, every second and at once when something changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable

from aiohttp import web

from streamfx.server.hub import Busy, Entry, Hub
from streamfx.server.models import Stream

log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds
_LEAST = 0.05  # seconds between two rounds, however often something changes
_STALLED = 10.0  # seconds after which a listener that takes nothing is dropped
_REMEMBERED = 256  # streams that closed


class Feed:
    """Every round's events, written once and read by all listeners.

    A listener takes the newest state of each stream, so a slow one misses rounds and nothing
    waits for it.

    Args:
        hub: whose streams.
        view: a stream as the API shows it.
        most: listeners at a time.
    """

    def __init__(self, hub: Hub, view: Callable[[Entry], Stream], most: int) -> None:
        self.listeners = 0
        self._hub = hub
        self._view = view
        self._most = most
        self._round = 0
        self._states: dict[str, bytes] = {}
        self._closed: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self._news = asyncio.Condition()
        self._over = False

    async def run(self) -> None:
        """Make rounds until it is cancelled."""
        while True:
            self._hub.changed.clear()
            if self.listeners:
                await self._make_round()
            await asyncio.sleep(_LEAST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD - _LEAST):
                    await self._hub.changed.wait()

    async def close(self) -> None:
        """Let every listener's response end."""
        async with self._news:
            self._over = True
            self._news.notify_all()

    async def send_to(self, request: web.Request, only: str | None) -> web.StreamResponse:
        """Answer a request with events until the client leaves or the feed closes.

        Args:
            only: the id of the one stream that the client wants to hear of.

        Raises:
            Busy: there are too many listeners.
        """
        if self.listeners >= self._most:
            log.warning("listener refused", extra={"listeners": self.listeners})
            raise Busy(f"{self._most} clients listen already; try again later")
        self.listeners += 1
        try:
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            self._hub.changed.set()
            await self._write(response, only)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:  # or the end of the response would wait as well
                request.transport.abort()
            log.info("listener gone", extra={"listeners": self.listeners - 1})
        finally:
            self.listeners -= 1
        return response

    async def _write(self, response: web.StreamResponse, only: str | None) -> None:
        seen = self._round
        while True:
            async with self._news:
                while not self._over and self._round <= seen:
                    await self._news.wait()
                if self._over:
                    return
                events = [
                    _event("closed", json.dumps({"id": name}).encode())
                    for when, name in self._closed
                    if when > seen and only in (None, name)
                ]
                events += [
                    _event("stream", state)
                    for name, state in self._states.items()
                    if only in (None, name)
                ]
                seen = self._round
            # A comment keeps the connection busy, so that a client that left is noticed.
            async with asyncio.timeout(_STALLED):
                await response.write(b"".join(events) or b": nothing\n\n")

    async def _make_round(self) -> None:
        states = {
            entry.stream.name: self._view(entry).model_dump_json().encode()
            for entry in self._hub.entries()
        }
        async with self._news:
            self._round += 1
            gone = [name for name in self._states if name not in states]
            self._closed.extend((self._round, name) for name in gone)
            self._states = states
            self._news.notify_all()


def _event(kind: str, data: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


FEED: web.AppKey[Feed] = web.AppKey("feed", Feed)
