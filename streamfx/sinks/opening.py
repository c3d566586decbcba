"""From a sink's name to a sink."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from streamfx.endpoints import Endpoint, listening_address
from streamfx.errors import InputError
from streamfx.live.stream import LiveStream
from streamfx.sinks.base import Output, PacketSink
from streamfx.sinks.push import HttpWire, RtmpOutput, TcpWire, TsOutput, UdpWire, Wire
from streamfx.sinks.record import HlsOutput, Recording
from streamfx.sinks.served import ServedWire, TsServer
from streamfx.sinks.status import SinkStatus

TS_PORT = 8554

_WIRES: dict[str, type[UdpWire] | type[TcpWire] | type[HttpWire]] = {
    "udp": UdpWire,
    "tcp": TcpWire,
    "http": HttpWire,
}


class Sink(Protocol):
    """Something that takes a stream's pictures and sound on threads of its own."""

    @property
    def status(self) -> SinkStatus: ...

    def start(self) -> None: ...

    def stop(self) -> None:
        """Finish and end the threads; harmless when they have ended, or never began."""


def open_sink(
    endpoint: Endpoint, stream: LiveStream, *, say: Callable[[str], None] | None = None
) -> Sink:
    """A sink, not started.

    Args:
        say: takes one sentence about every change; else it is logged.

    Raises:
        InputError, StreamFXError: there is no such sink here, or it cannot listen.
    """
    if endpoint.kind == "whip":
        from streamfx.sinks.whip import WhipSink

        return WhipSink(endpoint, stream, say=say)
    if endpoint.kind == "camera":
        from streamfx.camera import CameraSink, check_camera

        check_camera(endpoint.target)
        return CameraSink(endpoint, stream, say=say)
    if endpoint.kind == "srt":
        raise InputError(
            "FFmpeg's libraries here have no SRT: run `srt-live-transmit udp://127.0.0.1:9000 "
            "srt://HOST:PORT` beside this program and use udp://127.0.0.1:9000"
        )
    if endpoint.kind in ("tcp-listen", "http-listen"):
        server = TsServer(
            *listening_address(endpoint, TS_PORT), http=endpoint.kind == "http-listen"
        )
        connect: Callable[[], Output] = partial(_transport, partial(ServedWire, server))
        return PacketSink(
            stream,
            endpoint.shown,
            connect,
            bitrate=endpoint.bitrate,
            say=say,
            on_stop=server.close,
        )
    return PacketSink(
        stream, endpoint.shown, _connector(endpoint), bitrate=endpoint.bitrate, say=say
    )


def _connector(endpoint: Endpoint) -> Callable[[], Output]:
    if endpoint.kind in ("file", "hls") and not Path(endpoint.target).absolute().parent.is_dir():
        raise InputError(f"there is no folder for {endpoint.shown!r}: make it first")
    if endpoint.kind == "rtmp":
        return partial(RtmpOutput, endpoint)
    if endpoint.kind == "hls":
        return partial(HlsOutput, Path(endpoint.target))
    if endpoint.kind == "file":
        segment = endpoint.options.get("segment")
        seconds = None if segment is None else float(segment)
        return partial(Recording, Path(endpoint.target), seconds)
    return partial(_transport, partial(_WIRES[endpoint.kind], endpoint.url))


def _transport(wire: Callable[[], Wire]) -> Output:
    return TsOutput(wire())
