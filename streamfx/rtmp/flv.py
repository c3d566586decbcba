"""FLV (Adobe, version 10.1): RTMP's messages are its tags without their frame."""

from __future__ import annotations

from streamfx.rtmp.chunks import AUDIO, DATA, VIDEO, Message

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
_TAG = 11
_TRAILER = 4  # the size of the tag before
_CHANNELS = {AUDIO: 4, VIDEO: 6, DATA: 5}


def tag(message: Message) -> bytes:
    """A message of sound, pictures or data as a tag."""
    timestamp = message.timestamp & 0xFFFFFFFF
    head = (
        bytes((message.kind,))
        + len(message.payload).to_bytes(3, "big")
        + (timestamp & 0xFFFFFF).to_bytes(3, "big")
        + bytes((timestamp >> 24,))
        + b"\0\0\0"
    )
    return head + message.payload + (_TAG + len(message.payload)).to_bytes(4, "big")


class TagReader:
    """The bytes of a file, in pieces of any size, to messages of the message stream `stream`."""

    def __init__(self, stream: int = 1) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._skip = len(HEADER)

    def push(self, data: bytes) -> list[Message]:
        """The tags that are whole now."""
        self._buffer += data
        if len(self._buffer) < self._skip:
            return []
        at, self._skip = self._skip, 0
        messages = []
        while len(self._buffer) >= at + _TAG:
            size = int.from_bytes(self._buffer[at + 1 : at + 4], "big")
            end = at + _TAG + size
            if len(self._buffer) < end + _TRAILER:
                break
            kind = self._buffer[at] & 31
            timestamp = int.from_bytes(self._buffer[at + 4 : at + 7], "big")
            timestamp |= self._buffer[at + 7] << 24
            payload = bytes(self._buffer[at + _TAG : end])
            if kind in _CHANNELS:
                channel = _CHANNELS[kind]
                messages.append(Message(kind, payload, timestamp, self._stream, channel))
            at = end + _TRAILER
        del self._buffer[:at]
        return messages
