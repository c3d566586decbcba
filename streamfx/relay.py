"""One live stream from a source to sinks, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event

from streamfx.capture import Source, open_source
from streamfx.endpoints import Endpoint
from streamfx.errors import StreamFXError
from streamfx.live import ControlChange, LiveSettings, LiveStream, StyleShelf
from streamfx.sinks import Sink, SinkStatus, open_sink

_STEP = 0.1  # of the strength


class Relay:
    """A source, a stream and its sinks; use it in a `with` block.

    Args:
        say: takes one sentence about every change of a source or a sink.

    Attributes:
        stream: what is between them.
        over: set when the source has come to its end.
        error: what it ended by, None for a plain end.

    Raises:
        InputError, StreamFXError: the source, a sink or the settings cannot be used.
    """

    def __init__(
        self,
        source: Endpoint,
        sinks: Sequence[Endpoint],
        shelf: StyleShelf,
        settings: LiveSettings,
        *,
        loop: bool = False,
        say: Callable[[str], None],
    ) -> None:
        self.over = Event()
        self.error: Exception | None = None
        self._shelf = shelf
        self.stream = LiveStream("relay", shelf, settings)
        self._sinks: list[Sink] = []
        self._source: Source | None = None
        try:
            for sink in sinks:
                self._sinks.append(open_sink(sink, self.stream, say=say))
            self._source = open_source(source, self.stream, loop=loop, on_end=self._end, say=say)
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Begin; once."""
        for sink in self._sinks:
            sink.start()
        if self._source is not None:
            self._source.start()

    def stop(self) -> None:
        """Finish the sinks and end everything; again it does nothing."""
        if self._source is not None:
            self._source.stop()
        for sink in self._sinks:
            sink.stop()
        self.stream.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sinks(self) -> list[SinkStatus]:
        """How the sinks are doing, in the order in which they were given."""
        return [sink.status for sink in self._sinks]

    def press(self, key: str) -> None:
        """A hot key: n and p change the style, o switches it off and on, + and - the strength."""
        control = self.stream.control
        if key in ("n", "p"):
            names = self._shelf.names()
            step = 1 if key == "n" else -1
            at = names.index(control.style) + step if control.style in names else 0
            self._change(ControlChange(style=names[at % len(names)], enabled=True))
        elif key == "o":
            self._change(ControlChange(enabled=not control.enabled))
        elif key in ("+", "-"):
            strength = control.strength + (_STEP if key == "+" else -_STEP)
            self._change(ControlChange(strength=round(min(max(strength, 0.0), 1.0), 2)))

    def line(self) -> str:
        """The status in one line."""
        stats, control = self.stream.stats(), self.stream.control
        shown = f"{control.style} {control.strength:.0%}" if control.enabled else "style off"
        parts = [
            f"{stats.state} {stats.fps_in:.0f} fps in",
            f"delay {stats.stages['delay'].p50:.0f} ms" if stats.stages["delay"].p50 else "",
            shown,
            *(_sink_line(status) for status in self.sinks),
        ]
        return " | ".join(filter(None, parts))

    def _change(self, change: ControlChange) -> None:
        with suppress(StreamFXError):  # a style that was removed meanwhile
            self.stream.set_control(change)

    def _end(self, error: Exception | None) -> None:
        """On the source's thread."""
        self.error = error
        self.over.set()


def _sink_line(status: SinkStatus) -> str:
    lost = f", {status.dropped} lost" if status.dropped else ""
    late = f", {status.late_ms:.0f} ms late" if status.late_ms else ""
    if status.state == "sending":
        return f"{status.shown} {status.pictures} frames{late}{lost}"
    return f"{status.shown} {status.state}" + (f" ({status.error})" if status.error else "")
