"""Pushes: RTMP and RTMPS, and MPEG-TS over UDP, TCP and HTTP."""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import Protocol
from urllib.parse import SplitResult

from streamfx.endpoints import Endpoint, stream_key
from streamfx.errors import StreamFXError
from streamfx.rtmp.client import RtmpPublisher
from streamfx.rtmp.flv import TagReader
from streamfx.sinks.feed import Item
from streamfx.sinks.muxing import FLV, MPEG_TS, Bytes, Muxer, Size

TIMEOUT = 5.0  # seconds that connecting and each write may take
TS_PACKET = 188
_DATAGRAM = 7 * TS_PACKET  # what fits an Ethernet frame


class RtmpOutput:
    """A stream at an RTMP server.

    Raises:
        OSError, StreamFXError: it cannot be reached, or refuses.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        app, key = stream_key(endpoint)
        self._publisher = RtmpPublisher(endpoint.url, app, key, TIMEOUT)
        self._tags = TagReader()
        self._muxer: Muxer | None = None

    def begin(self, size: Size, fps: float) -> None:
        self._muxer = Muxer(Bytes(self._take), "flv", size, fps, FLV)

    def write(self, item: Item) -> None:
        assert self._muxer is not None
        self._muxer.write(item)

    def close(self) -> None:
        if self._muxer is not None:
            self._muxer.close()
        self._publisher.close()

    def abandon(self) -> None:
        if self._muxer is not None:
            self._muxer.abandon()
        self._publisher.close()

    def _take(self, data: bytes) -> None:
        for message in self._tags.push(data):
            self._publisher.send(message)


class Wire(Protocol):
    """What carries the bytes of a transport stream."""

    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class TsOutput:
    """An MPEG transport stream on a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._muxer: Muxer | None = None

    def begin(self, size: Size, fps: float) -> None:
        self._muxer = Muxer(Bytes(self._wire.send), "mpegts", size, fps, MPEG_TS)

    def write(self, item: Item) -> None:
        assert self._muxer is not None
        self._muxer.write(item)

    def close(self) -> None:
        if self._muxer is not None:
            self._muxer.close()
        self._wire.close()

    def abandon(self) -> None:
        if self._muxer is not None:
            self._muxer.abandon()
        with contextlib.suppress(OSError):
            self._wire.close()


class UdpWire:
    """Datagrams of seven packets; whether somebody listens is not known."""

    def __init__(self, url: SplitResult) -> None:
        host, port = url.hostname or "", url.port or 0
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        self._sock = socket.socket(family, kind, protocol)
        self._sock.settimeout(TIMEOUT)
        if family == socket.AF_INET:
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        self._address = address

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), _DATAGRAM):
            self._sock.sendto(data[start : start + _DATAGRAM], self._address)

    def close(self) -> None:
        self._sock.close()


class TcpWire:
    """A connection to somebody who waits for it."""

    def __init__(self, url: SplitResult) -> None:
        self._sock = socket.create_connection((url.hostname or "", url.port or 0), TIMEOUT)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def close(self) -> None:
        self._sock.close()


class HttpWire:
    """The endless body of a POST request (RFC 9112, section 7.1)."""

    def __init__(self, url: SplitResult) -> None:
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._connection = make(url.hostname or "", url.port, timeout=TIMEOUT)
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            self._connection.putrequest("POST", path)
            self._connection.putheader("Content-Type", "video/mp2t")
            self._connection.putheader("Transfer-Encoding", "chunked")
            self._connection.endheaders()
        except http.client.HTTPException as error:
            self._connection.close()
            raise StreamFXError(f"no HTTP server answers: {type(error).__name__}") from error
        except BaseException:
            self._connection.close()
            raise

    def send(self, data: bytes) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(b"0\r\n\r\n")
        self._connection.close()
