"""RTMP's chunk stream (specification 1.0, section 5.3): messages to bytes and back."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamfx.errors import StreamFXError

SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL = 1, 2, 3, 4
WINDOW_SIZE, PEER_BANDWIDTH, AUDIO, VIDEO = 5, 6, 8, 9
COMMAND_AMF3, DATA, COMMAND = 17, 18, 20

LARGEST = 8 << 20  # bytes of a message: no picture of a live stream is as large
_MOST_STREAMS = 64
_WAITING = 16 << 20  # bytes of unfinished messages, of all chunk streams together
_FIRST_SIZE = 128
_EXTENDED = 0xFFFFFF


class ChunkError(StreamFXError):
    """The bytes are no chunk stream, or one that takes too much memory."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        kind: its type id.
        payload: at most 8 MiB.
        timestamp: ms, modulo 2**32.
        stream: message stream id; 0 for the connection itself.
        channel: chunk stream id, 2 to 65599.
    """

    kind: int
    payload: bytes
    timestamp: int = 0
    stream: int = 0
    channel: int = 3


class ChunkWriter:
    """Messages to bytes; every message begins with a full header."""

    def __init__(self) -> None:
        self.size = _FIRST_SIZE

    def write(self, message: Message) -> bytes:
        """The chunks of a message; a SET_CHUNK_SIZE counts for those that follow it."""
        timestamp = message.timestamp & 0xFFFFFFFF
        extended = struct.pack(">I", timestamp) if timestamp >= _EXTENDED else b""
        head = (
            min(timestamp, _EXTENDED).to_bytes(3, "big")
            + len(message.payload).to_bytes(3, "big")
            + bytes((message.kind,))
            + struct.pack("<I", message.stream)
        )
        parts = [_basic(0, message.channel), head, extended]
        for start in range(0, len(message.payload), self.size):
            if start:
                parts += [_basic(3, message.channel), extended]
            parts.append(message.payload[start : start + self.size])
        if message.kind == SET_CHUNK_SIZE:
            self.size = _chunk_size(message.payload)
        return b"".join(parts)


@dataclass
class _Channel:
    """What the next header of a chunk stream may leave out, and the message under way."""

    timestamp: int = 0
    delta: int = 0
    length: int = 0
    kind: int = 0
    stream: int = 0
    extended: bool = False
    begun: bool = False
    payload: bytearray | None = None


class ChunkReader:
    """Bytes, in pieces of any size, to messages."""

    def __init__(self) -> None:
        self.size = _FIRST_SIZE
        self._buffer = bytearray()
        self._channels: dict[int, _Channel] = {}

    def push(self, data: bytes) -> list[Message]:
        """The messages that are whole now; SET_CHUNK_SIZE and ABORT are obeyed as well.

        Raises:
            ChunkError: the stream is malformed or wants too much memory.
        """
        self._buffer += data
        messages: list[Message] = []
        at = 0
        while True:
            used, message = self._chunk(at)
            if not used:
                break
            at += used
            if message is not None:
                self._obey(message)
                messages.append(message)
        del self._buffer[:at]
        return messages

    def _chunk(self, at: int) -> tuple[int, Message | None]:
        """Read a chunk: the bytes that it took, 0 if it is not whole yet, and what it ended."""
        view = self._buffer
        if at >= len(view):
            return 0, None
        begin, form, number = at, view[at] >> 6, view[at] & 63
        wide = {0: 1, 1: 2}.get(number, 0)
        at += 1 + wide
        needs = (11, 7, 3, 0)[form]
        if len(view) < at + needs:
            return 0, None
        if wide:
            number = 64 + int.from_bytes(view[at - wide : at], "little")
        channel = self._channels.get(number, _Channel())
        if form and not channel.begun:
            raise ChunkError("a chunk refers to a header that was never sent")
        if form < 3 and channel.payload is not None:
            raise ChunkError("a message begins inside another one")
        stamp = int.from_bytes(view[at : at + 3], "big") if form < 3 else 0
        has_extended = stamp == _EXTENDED if form < 3 else channel.extended
        head = at
        at += needs
        if has_extended:
            if len(view) < at + 4:
                return 0, None
            stamp = int.from_bytes(view[at : at + 4], "big")
            at += 4
        length = int.from_bytes(view[head + 3 : head + 6], "big") if form < 2 else channel.length
        if length > LARGEST:
            raise ChunkError(f"a message of {length} bytes is too large")
        done = len(channel.payload) if channel.payload is not None else 0
        size = min(self.size, length - done)
        if len(view) < at + size:
            return 0, None
        self._keep(number, channel)
        if form < 2:
            channel.length, channel.kind = length, view[head + 6]
        if form == 0:
            channel.stream = int.from_bytes(view[head + 7 : head + 11], "little")
            channel.timestamp, channel.delta = stamp, 0
        elif form < 3:
            channel.delta = stamp
        channel.begun = True
        if form < 3:
            channel.extended = has_extended
        if channel.payload is None:
            # Type 3 begins a message of the same header and delta as the last one.
            channel.timestamp = (channel.timestamp + channel.delta) & 0xFFFFFFFF
            channel.payload = bytearray()
        channel.payload += view[at : at + size]
        return at + size - begin, self._finished(number, channel)

    def _keep(self, number: int, channel: _Channel) -> None:
        self._channels.setdefault(number, channel)
        waiting = sum(len(c.payload) for c in self._channels.values() if c.payload is not None)
        if len(self._channels) > _MOST_STREAMS or waiting > _WAITING:
            raise ChunkError("too many messages are under way at once")

    def _finished(self, number: int, channel: _Channel) -> Message | None:
        payload = channel.payload
        if payload is None or len(payload) < channel.length:
            return None
        channel.payload = None
        return Message(channel.kind, bytes(payload), channel.timestamp, channel.stream, number)

    def _obey(self, message: Message) -> None:
        if message.kind == SET_CHUNK_SIZE:
            self.size = _chunk_size(message.payload)
        elif message.kind == ABORT and len(message.payload) >= 4:
            aborted = self._channels.get(int.from_bytes(message.payload[:4], "big"))
            if aborted is not None:
                aborted.payload = None


def _basic(form: int, channel: int) -> bytes:
    if channel < 64:
        return bytes((form << 6 | channel,))
    if channel < 320:
        return bytes((form << 6, channel - 64))
    return bytes((form << 6 | 1,)) + (channel - 64).to_bytes(2, "little")


def _chunk_size(payload: bytes) -> int:
    size = int.from_bytes(payload[:4], "big") if len(payload) >= 4 else 0
    if not 1 <= size <= 0x7FFFFFFF:
        raise ChunkError(f"a chunk size of {size} is not allowed")
    return min(size, LARGEST)
