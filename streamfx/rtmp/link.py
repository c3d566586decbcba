"""One RTMP connection, from either side: handshake, messages in and out, acknowledgements."""

from __future__ import annotations

import os
import socket
import struct
import time
from select import select

from streamfx.errors import StreamFXError
from streamfx.rtmp import amf
from streamfx.rtmp.chunks import (
    ACKNOWLEDGEMENT,
    COMMAND,
    COMMAND_AMF3,
    PEER_BANDWIDTH,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    WINDOW_SIZE,
    ChunkReader,
    ChunkWriter,
    Message,
)

CHUNK_SIZE = 4096
WINDOW = 2_500_000  # bytes between two acknowledgements
_VERSION = 3
_DIGEST = 1536
_PING, _PONG = 6, 7
_READ = 64 << 10


class Closed(StreamFXError):
    """The other side has closed the connection, or says nothing any more."""


class Link:
    """A connection; one thread uses it.

    Args:
        sock: connected; its time-out bounds every read and write.

    Attributes:
        heard: time.monotonic() of the last bytes from the other side.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.heard = time.monotonic()
        self._sock = sock
        self._reader = ChunkReader()
        self._writer = ChunkWriter()
        self._received = self._acknowledged = 0
        self._window = WINDOW

    def shake_hands(self, *, server: bool) -> None:
        """The plain handshake of section 5.2.

        Raises:
            Closed, OSError: it did not come about.
            StreamFXError: the other side speaks another protocol.
        """
        own = bytes(8) + os.urandom(_DIGEST - 8)
        if not server:
            self._sock.sendall(bytes((_VERSION,)) + own)
        head = self._exactly(1)[0]
        if head != _VERSION:
            raise StreamFXError("the other side does not speak plain RTMP")
        if server:
            self._sock.sendall(bytes((_VERSION,)) + own)
        self._sock.sendall(self._exactly(_DIGEST))
        self._exactly(_DIGEST)

    def begin(self) -> None:
        """Say how large the chunks and the window are."""
        self.send(Message(WINDOW_SIZE, struct.pack(">I", WINDOW), channel=2))
        self.send(Message(SET_CHUNK_SIZE, struct.pack(">I", CHUNK_SIZE), channel=2))

    def limit_peer(self) -> None:
        """Say how much may be under way unacknowledged; publishers wait for it."""
        self.send(Message(PEER_BANDWIDTH, struct.pack(">IB", WINDOW, 2), channel=2))

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            OSError: the connection is broken, or nothing is taken within its time-out.
        """
        self._sock.sendall(self._writer.write(message))

    def command(self, *values: amf.Value, stream: int = 0) -> None:
        """Send a command."""
        self.send(Message(COMMAND, amf.encode(*values), stream=stream))

    def receive(self, *, wait: bool = True) -> list[Message]:
        """What came, pings and acknowledgements dealt with; [] where nothing may be waited for.

        Raises:
            Closed: the other side has ended.
            TimeoutError, OSError: nothing came within the socket's time-out, or it is broken.
            ChunkError: what came is no RTMP.
        """
        if not wait and not self._has_input():
            return []
        data = self._sock.recv(_READ)
        if not data:
            raise Closed("the other side closed the connection")
        self.heard = time.monotonic()
        self._received += len(data)
        if self._received - self._acknowledged >= self._window // 2:
            self._acknowledged = self._received
            count = struct.pack(">I", self._received & 0xFFFFFFFF)
            self.send(Message(ACKNOWLEDGEMENT, count, channel=2))
        return [m for m in self._reader.push(data) if not self._is_control(m)]

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    def _is_control(self, message: Message) -> bool:
        if message.kind == USER_CONTROL:
            if message.payload[:2] == struct.pack(">H", _PING):
                pong = struct.pack(">H", _PONG) + message.payload[2:6]
                self.send(Message(USER_CONTROL, pong, channel=2))
            return True
        if message.kind == WINDOW_SIZE and len(message.payload) >= 4:
            self._window = max(1, int.from_bytes(message.payload[:4], "big"))
        return message.kind < 8

    def _has_input(self) -> bool:
        pending = getattr(self._sock, "pending", None)  # of TLS
        return bool((pending and pending()) or select([self._sock], [], [], 0)[0])

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._sock.recv(count - len(data))
            if not part:
                raise Closed("the other side closed the connection during the handshake")
            data += part
        return bytes(data)


def command_of(message: Message) -> list[amf.Value] | None:
    """A message's command and arguments, None where it is none.

    Raises:
        AmfError: it is malformed.
    """
    if message.kind == COMMAND:
        return amf.decode(message.payload)
    if message.kind == COMMAND_AMF3:  # which begins with a byte, then is AMF0 as well
        return amf.decode(message.payload[1:])
    return None
