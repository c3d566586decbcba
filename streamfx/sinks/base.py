"""What every sink of packets has in common: a thread, a feed, and trying again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import av.error

from streamfx.errors import StreamFXError
from streamfx.live.restyle import retry_after
from streamfx.live.sources import ThreadedSource
from streamfx.live.stream import LiveStream
from streamfx.sinks.feed import Feed, Item
from streamfx.sinks.muxing import Size
from streamfx.sinks.status import Board, SinkStatus

_LOOK_EVERY = 0.25  # seconds, to see whether it is to stop
_STEADY = 100  # pictures after which a failure counts as the first one

log = logging.getLogger(__name__)


class Output(Protocol):
    """Where packets go, from when it was connected until it fails or is closed.

    Methods raise OSError, av.error.FFmpegError or StreamFXError when it fails, within 10 s.
    """

    def begin(self, size: Size, fps: float) -> None:
        """Pictures of this size follow; called once, first."""

    def write(self, item: Item) -> None:
        """Take a packet."""

    def close(self) -> None:
        """Finish: nothing more will come."""

    def abandon(self) -> None:
        """Let go after a failure; raises nothing."""


class PacketSink(ThreadedSource):
    """Sends a stream's packets to an output, and connects it again when it fails.

    Args:
        shown: what messages call it.
        connect: makes an output, within 10 s; raises as an output does.
        bitrate: wanted, bits a second; None = what the stream starts with.
        say: takes one sentence about every change.
        on_stop: called when the sink ends.
    """

    def __init__(
        self,
        stream: LiveStream,
        shown: str,
        connect: Callable[[], Output],
        *,
        bitrate: int | None = None,
        say: Callable[[str], None] | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(f"{stream.name}-sink")
        self._stream = stream
        self._connect = connect
        self._bitrate = bitrate or stream.settings.start_bitrate
        self._board = Board(shown, say or (lambda text: log.info("%s", text)))
        self._on_stop = on_stop

    @property
    def status(self) -> SinkStatus:
        """How it is doing."""
        return self._board.status

    def stop(self) -> None:
        """Finish and end the thread; again it does nothing."""
        super().stop()
        self._on_stop()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.status.pictures
            error = self._send()
            if error is None:
                break
            self._board.failed(error)
            failures = 1 if self.status.pictures > before + _STEADY else failures + 1
            self._stop.wait(retry_after(failures))
        self._board.enter("closed")

    def _send(self) -> str | None:
        """Send until it fails; the error, None at the end."""
        if not self._wait_for_pictures():
            return None
        self._board.enter("connecting")
        output: Output | None = None
        try:
            output = self._connect()
            feed = Feed(self._stream, self._bitrate)
            try:
                self._pump(feed, output)
            finally:
                self._board.lost(feed.dropped)
                feed.close()
            output.close()
        except (OSError, ValueError, av.error.FFmpegError, StreamFXError) as error:
            failure = reason_of(error)
        except Exception as error:  # a thread must not end in silence
            log.exception("%s failed", self.status.shown)
            failure = type(error).__name__
        else:
            return None
        if output is not None:
            output.abandon()
        return failure

    def _wait_for_pictures(self) -> bool:
        """Wait until the stream has a size; False at the end."""
        while not self._stop.wait(0 if self._stream.stats().size_out else _LOOK_EVERY):
            stats = self._stream.stats()
            if stats.state == "closed":
                return False
            if stats.size_out is not None:
                return True
        return False

    def _pump(self, feed: Feed, output: Output) -> None:
        size = self._stream.stats().size_out
        assert size is not None
        output.begin(size, self._stream.settings.fps)
        begun = False
        while not self._stop.is_set() and not feed.closed:
            item = feed.next(_LOOK_EVERY)
            if item is None:
                continue
            output.write(item)
            if not begun:
                begun = True
                self._board.began()
            self._board.sent(len(item.data), picture=item.kind == "video")


def reason_of(error: Exception) -> str:
    """An error in words that hold no URL."""
    if isinstance(error, StreamFXError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "nothing is taken there any more"
    said = getattr(error, "strerror", None)
    return str(said or type(error).__name__)
