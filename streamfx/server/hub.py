"""The streams that are on the air: who may open one, how many, and when they end.

Everything here is called on the event loop; ending a stream's threads is done beside it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from streamfx.errors import StreamFXError
from streamfx.live.shelf import StyleShelf
from streamfx.live.stats import Observer
from streamfx.live.stream import LiveStream
from streamfx.server.config import ServerConfig
from streamfx.server.sources import Admitted, Source

log = logging.getLogger(__name__)

STREAM_ID = r"[a-z0-9][a-z0-9-]{0,63}"


class Busy(StreamFXError):
    """The machine holds no more (HTTP 503)."""

    retry_after = 10  # seconds


class Taken(StreamFXError):
    """The stream has a publisher (HTTP 409)."""


@dataclass
class Entry:
    """A stream on the air.

    Attributes:
        stream: the stream.
        origin: where its frames come from, as others may see it: `whip`, `demo:`, a file's
            name, or a URL without its password.
        source: what the server itself reads, None for a publisher.
        grace: fires when the publisher that left has not returned.
    """

    stream: LiveStream
    origin: str
    source: Source | None = None
    grace: asyncio.TimerHandle | None = None


class Hub:
    """Opens, finds, lists and closes streams.

    Args:
        config: bounds, grace and the settings of every stream.
        shelf: the styles that all streams share.
        observer: is told what the streams do.

    Attributes:
        shelf: the styles.
        on_closed: called with a stream's name when it has left the list, before its threads end.
        changed: set whenever the list or a stream's control changed; whoever waits clears it.
    """

    def __init__(self, config: ServerConfig, shelf: StyleShelf, observer: Observer) -> None:
        self.shelf = shelf
        self.on_closed: list[Callable[[str], None]] = []
        self.changed = asyncio.Event()
        self._config = config
        self._observer = observer
        self._entries: dict[str, Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, name: str) -> LiveStream | None:
        """The stream of that name, None if it is not on the air."""
        entry = self._entries.get(name)
        return None if entry is None else entry.stream

    def entry(self, name: str) -> Entry | None:
        """As `get`, with where its frames come from."""
        return self._entries.get(name)

    def entries(self) -> list[Entry]:
        """All streams, the oldest first."""
        return list(self._entries.values())

    def open(self, name: str) -> LiveStream:
        """The stream that a publisher sends to: a new one, or that of one that left lately.

        Raises:
            Taken: somebody publishes there.
            Busy: there are as many streams as the configuration allows.
        """
        entry = self._entries.get(name)
        if entry is None:
            return self._add(name, "whip").stream
        if entry.grace is None:
            raise Taken(f"the stream {name!r} has a publisher; choose another name")
        entry.grace.cancel()
        entry.grace = None
        entry.stream.publisher_returned()
        log.info("publisher returned", extra={"stream": name})
        self.changed.set()
        return entry.stream

    def publisher_left(self, name: str) -> None:
        """The publisher of a stream ended or vanished: the stream stays for the grace."""
        entry = self._entries.get(name)
        if entry is None or entry.source is not None or entry.grace is not None:
            return
        entry.stream.publisher_left()
        loop = asyncio.get_running_loop()
        entry.grace = loop.call_later(self._config.grace_seconds, self._retire, name)
        log.info("publisher left", extra={"stream": name})
        self.changed.set()

    def start(
        self,
        source: Admitted,
        *,
        name: str | None = None,
        loop: bool = False,
        style: str | None = None,
        strength: float | None = None,
    ) -> Entry:
        """A stream whose frames the server reads itself.

        Raises:
            Taken, Busy: as `open`.
            InputError: the style or the strength cannot be used.
        """
        chosen = name or f"stream-{secrets.token_hex(4)}"
        if chosen in self._entries:
            raise Taken(f"there is a stream {chosen!r} already; choose another name")
        changes = {"style": style, "strength": strength}
        entry = self._add(
            chosen, source.shown, **{k: v for k, v in changes.items() if v is not None}
        )
        running = asyncio.get_running_loop()

        def ended(error: Exception | None) -> None:  # on a thread of the source
            running.call_soon_threadsafe(self._source_ended, chosen, entry, error)

        entry.source = source.open(entry.stream, loop, ended)
        entry.source.start()
        return entry

    async def close(self, name: str) -> bool:
        """End a stream and wait for its threads; False if there is none of that name."""
        task = self._retire(name)
        if task is not None:
            await asyncio.shield(task)
        return task is not None

    async def close_all(self) -> None:
        """End every stream."""
        for name in list(self._entries):
            self._retire(name)
        while self._closing:
            await asyncio.wait(self._closing)

    def _add(self, name: str, origin: str, **settings: object) -> Entry:
        live = self._config.live.model_copy(update=settings)
        self.shelf.resolve(live.style)  # or room would be made for what cannot be
        self._make_room()
        entry = Entry(LiveStream(name, self.shelf, live, self._observer), origin)
        self._entries[name] = entry
        log.info("stream opened", extra={"stream": name, "source": origin})
        self.changed.set()
        return entry

    def _make_room(self) -> None:
        most = self._config.max_streams
        if len(self._entries) >= most:
            left = next((n for n, entry in self._entries.items() if entry.grace is not None), None)
            if left is not None:
                self._retire(left)
        if len(self._entries) >= most or len(self._closing) > most:
            log.warning("stream refused", extra={"streams": len(self._entries)})
            raise Busy(f"this server holds {most} streams and has no room now; try again later")

    def _source_ended(self, name: str, entry: Entry, error: Exception | None) -> None:
        if self._entries.get(name) is not entry:
            return
        if error is None:
            log.info("source ended", extra={"stream": name})
        else:
            log.warning("source failed", extra={"stream": name, "reason": str(error)})
        self._retire(name)

    def _retire(self, name: str) -> asyncio.Task[None] | None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return None
        if entry.grace is not None:
            entry.grace.cancel()
        task = asyncio.create_task(self._end(name, entry))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _end(self, name: str, entry: Entry) -> None:
        self.changed.set()
        for callback in self.on_closed:
            callback(name)
        # Side by side: a source may wait for the network, and viewers must not wait for it.
        ending = [asyncio.to_thread(entry.stream.close)]
        if entry.source is not None:
            ending.append(asyncio.to_thread(entry.source.stop))
        for failed in await asyncio.gather(*ending, return_exceptions=True):
            if failed is not None:
                log.error("a stream did not end cleanly", extra={"stream": name}, exc_info=failed)
        log.info("stream closed", extra={"stream": name})


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)
