"""From a source's name to a source."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from av.container import InputContainer

from streamfx.capture.devices import Input, input_of
from streamfx.capture.listener import Publishers
from streamfx.capture.pull import LiveSource, open_input
from streamfx.endpoints import Endpoint
from streamfx.errors import InputError
from streamfx.live.sources import ThreadedSource

if TYPE_CHECKING:
    from streamfx.live.stream import LiveStream

SRT = (
    "FFmpeg's libraries here have no SRT: run `srt-live-transmit {}` beside this program and "
    "use udp://127.0.0.1:9000"
)


class Source(Protocol):
    """Something that feeds a stream from threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """End the threads; harmless when they have ended, or never began."""


def open_source(
    endpoint: Endpoint,
    stream: LiveStream,
    *,
    loop: bool = False,
    on_end: Callable[[Exception | None], None] = lambda _: None,
    say: Callable[[str], None] | None = None,
    limits: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Source:
    """A source, not started.

    Args:
        loop: whether a file begins again when it ends.
        on_end: called once from a thread of a recording, with None or what it ended by. Live
            sources never end by themselves.
        say: takes one sentence about every change of a live source.
        limits: options for FFmpeg that keep it from going elsewhere, such as
            `protocol_whitelist`; what FFmpeg does not open takes none.

    Raises:
        InputError, StreamFXError: there is no such source here, or it cannot listen.
    """
    kind = endpoint.kind
    if kind == "demo":
        from streamfx.live.demo import DemoSource

        return DemoSource(stream)
    if kind == "file":
        from streamfx.live.files import FileSource

        repeat = loop or "loop" in endpoint.options
        return FileSource(stream, endpoint.target, loop=repeat, options=limits, on_end=on_end)
    if kind == "rtmp-listen":
        return _Listening(Publishers(endpoint), stream, endpoint.shown, say)
    if kind == "whep":
        from streamfx.capture.whep import WhepSource

        return WhepSource(endpoint, stream, say=say)
    if kind == "srt":
        raise InputError(SRT.format("srt://HOST:PORT udp://127.0.0.1:9000"))
    wanted = input_of(endpoint, sys.platform, environ, _camera_names())
    options = {**wanted.options, **(limits or {})}
    return LiveSource(
        stream, endpoint.shown, lambda: _opened(endpoint, wanted, options), on_end=on_end, say=say
    )


def _opened(endpoint: Endpoint, wanted: Input, options: dict[str, str]) -> InputContainer:
    return open_input(endpoint.shown, wanted.target, wanted.form, options)


def _camera_names() -> list[str]:
    """The cameras by name, where FFmpeg wants names."""
    if sys.platform != "win32":
        return []
    from av.device import enumerate_input_devices

    return [d.description for d in enumerate_input_devices("dshow") if "video" in d.media_types]


class _Listening(LiveSource):
    """A source that publishers come to; stopping it ends the listening."""

    def __init__(
        self,
        publishers: Publishers,
        stream: LiveStream,
        shown: str,
        say: Callable[[str], None] | None,
    ) -> None:
        super().__init__(stream, shown, publishers.open, close_input=publishers.leave, say=say)
        self._publishers = publishers

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._publishers.port

    def stop(self) -> None:
        self._stop.set()
        self._publishers.close()
        ThreadedSource.stop(self)
