"""The streams that are on the air: who may open one, how many, and when they end.

Everything here is called on the event loop; ending a stream's threads is done beside it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

from aiohttp import web

from streamfx.capture import Source, SourceStatus
from streamfx.endpoints import Endpoint
from streamfx.errors import InputError, StreamFXError
from streamfx.live.sharing import SharedEngines
from streamfx.live.shelf import StyleShelf
from streamfx.live.stats import Observer
from streamfx.live.stream import LiveStream
from streamfx.server.config import MOST_SINKS, ServerConfig
from streamfx.server.sinks import trusted_sink
from streamfx.server.sources import Admitted
from streamfx.server.threads import beside
from streamfx.sinks import Sink, open_sink

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")


class Busy(StreamFXError):
    """The machine holds no more (HTTP 503)."""

    retry_after = 10  # seconds


class Taken(StreamFXError):
    """Somebody has it already: a stream, an address, a key (HTTP 409)."""


class Gone(StreamFXError):
    """The stream ended meanwhile (HTTP 404)."""


@dataclass
class Entry:
    """A stream on the air.

    Attributes:
        stream: the stream.
        origin: where its frames come from, as others may see it: `whip`, `demo:`, a file's
            name, or a URL without its password.
        source: what the server itself reads, None for a publisher.
        sinks: where the stream is sent beside its viewers, by their ids.
        ids: of sinks to come.
        grace: fires when the publisher that left has not returned.
    """

    stream: LiveStream
    origin: str
    source: Source | None = None
    sinks: dict[str, Sink] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    grace: asyncio.TimerHandle | None = None

    @property
    def source_error(self) -> str:
        """Why a live source that is away is opened again; "" while it is there."""
        status = getattr(self.source, "status", None)  # what plays a recording has none
        return status.error if isinstance(status, SourceStatus) and status.state != "live" else ""


class Hub:
    """Opens, finds, lists and closes streams, each with the sinks that the configuration has.

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
        self._engines = SharedEngines()
        self._entries: dict[str, Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()  # sinks of publishers' streams

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
            entry = self._add(name, "whip")
            if sinks := self._sinks_of(name):
                task = asyncio.create_task(self._attach(entry, sinks))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
            return entry.stream
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

    async def start(
        self,
        source: Admitted,
        *,
        name: str | None = None,
        loop: bool = False,
        sinks: Sequence[Endpoint] = (),
        **changes: object,
    ) -> Entry:
        """A stream whose frames the server reads itself; nothing is left of it where it fails.

        Args:
            sinks: where it is sent beside those that the configuration has for its name.
            changes: style, strength, audio_delay_ms; None leaves what the configuration has.

        Raises:
            Taken, Busy: as `open`; also what a source or a sink listens on.
            Gone: somebody closed it meanwhile.
            InputError: the style, the strength, the source or a sink cannot be used.
        """
        chosen = name or f"stream-{secrets.token_hex(4)}"
        if chosen in self._entries:
            raise Taken(f"there is a stream {chosen!r} already; choose another name")
        all_sinks = [*self._sinks_of(chosen), *sinks]
        entry = self._add(
            chosen, source.shown, **{k: v for k, v in changes.items() if v is not None}
        )
        running = asyncio.get_running_loop()

        def ended(error: Exception | None) -> None:  # on a thread of the source
            running.call_soon_threadsafe(self._source_ended, chosen, entry, error)

        try:
            for sink in all_sinks:
                await self.add_sink(entry, sink)
            self._check_there(entry)
            entry.source = _opened(partial(source.open, entry.stream, loop, ended))
        except BaseException:
            if self._entries.get(chosen) is entry:
                self._retire(chosen)
            raise
        entry.source.start()
        return entry

    async def add_sink(self, entry: Entry, endpoint: Endpoint) -> str:
        """Send a stream to a sink as well; the sink's id.

        Raises:
            Busy: the stream has as many as it may.
            Taken: it cannot listen there.
            Gone: the stream ended.
            InputError: there is no such sink here.
        """
        self._check_room(entry)
        stream = entry.stream

        def say(text: str) -> None:
            log.info("sink", extra={"stream": stream.name, "said": text})

        # It looks at folders and devices, which may be slow.
        sink = await asyncio.to_thread(_opened, partial(open_sink, endpoint, stream, say=say))
        try:
            self._check_room(entry)
        except StreamFXError:
            await beside(sink.stop)
            raise
        number = str(next(entry.ids))
        entry.sinks[number] = sink
        sink.start()
        self.changed.set()
        log.info("sink opened", extra={"stream": stream.name, "sink": endpoint.shown})
        return number

    async def remove_sink(self, entry: Entry, number: str) -> bool:
        """Finish a sink and wait for its end; False if the stream has none of that id."""
        sink = entry.sinks.pop(number, None)
        if sink is None:
            return False
        self.changed.set()
        await beside(sink.stop)
        log.info("sink closed", extra={"stream": entry.stream.name, "sink": sink.status.shown})
        return True

    async def close(self, name: str) -> bool:
        """End a stream and wait for its threads; False if there is none of that name."""
        task = self._retire(name)
        if task is not None:
            await asyncio.shield(task)
        return task is not None

    async def close_all(self) -> None:
        """End every stream."""
        for task in self._opening:
            task.cancel()
        for name in list(self._entries):
            self._retire(name)
        while self._closing:
            await asyncio.wait(self._closing)

    def _sinks_of(self, name: str) -> list[Endpoint]:
        """What the configuration has for this stream."""
        configured = self._config.configured.get(name)
        return [] if configured is None else [trusted_sink(text) for text in configured.sinks]

    def _check_there(self, entry: Entry) -> None:
        name = entry.stream.name
        if self._entries.get(name) is not entry:
            raise Gone(f"the stream {name!r} ended meanwhile")

    def _check_room(self, entry: Entry) -> None:
        """Whether a stream can have one more sink."""
        self._check_there(entry)
        if len(entry.sinks) >= MOST_SINKS:
            raise Busy(f"a stream has {MOST_SINKS} sinks at most; remove one first")

    async def _attach(self, entry: Entry, sinks: Sequence[Endpoint]) -> None:
        """Open the configured sinks of a publisher's stream, which goes on without those that fail.

        The publisher waits for none of them.
        """
        for sink in sinks:
            try:
                await self.add_sink(entry, sink)
            except StreamFXError as error:
                log.error(
                    "sink cannot be opened",
                    extra={"stream": entry.stream.name, "sink": sink.shown, "reason": str(error)},
                )

    def _add(self, name: str, origin: str, **settings: object) -> Entry:
        live = self._config.live.model_copy(update=settings)
        self.shelf.resolve(live.style)  # or room would be made for what cannot be
        self._make_room()
        stream = LiveStream(name, self.shelf, live, self._observer, self._engines.load)
        entry = Entry(stream, origin)
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
        ending = [beside(entry.stream.close), *(beside(s.stop) for s in entry.sinks.values())]
        if entry.source is not None:
            ending.append(beside(entry.source.stop))
        for failed in await asyncio.gather(*ending, return_exceptions=True):
            if failed is not None:
                log.error("a stream did not end cleanly", extra={"stream": name}, exc_info=failed)
        log.info("stream closed", extra={"stream": name})


def _opened(make: Callable[[], Opened]) -> Opened:
    """A source or a sink; what it cannot listen on, somebody else has."""
    try:
        return make()
    except InputError:
        raise
    except StreamFXError as error:
        raise Taken(str(error)) from error


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)
