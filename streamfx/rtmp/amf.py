"""AMF0 (Adobe, 2007), the values of RTMP's commands, written and read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

from streamfx.errors import StreamFXError

Value: TypeAlias = "float | bool | str | list[Value] | dict[str, Value] | None"

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED = 0, 1, 2, 3, 5, 6
_ECMA_ARRAY, _END, _STRICT_ARRAY, _DATE, _LONG_STRING = 8, 9, 10, 11, 12
_DEEPEST = 16
_MOST_ITEMS = 10_000


class AmfError(StreamFXError):
    """The bytes are no AMF0."""


def encode(*values: Value | Mapping[str, Value]) -> bytes:
    """The values one after the other.

    Raises:
        ValueError: a property's name is longer than 65535 bytes.
    """
    return b"".join(map(_encoded, values))


def decode(data: bytes) -> list[Value]:
    """All values in `data`.

    Raises:
        AmfError: it is malformed, or of a type that no command has.
    """
    values: list[Value] = []
    reader = _Reader(data)
    while reader.left:
        values.append(reader.value(0))
    return values


def _encoded(value: Value | Mapping[str, Value]) -> bytes:
    if isinstance(value, bool):
        return bytes((_BOOLEAN, value))
    if isinstance(value, (int, float)):
        return struct.pack(">Bd", _NUMBER, value)
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogateescape")
        if len(text) > 0xFFFF:
            return struct.pack(">BI", _LONG_STRING, len(text)) + text
        return bytes((_STRING,)) + _name(text)
    if value is None:
        return bytes((_NULL,))
    if isinstance(value, list):
        head = struct.pack(">BI", _STRICT_ARRAY, len(value))
        return head + b"".join(map(_encoded, value))
    pairs = [
        _name(name.encode("utf-8", "surrogateescape")) + _encoded(item)
        for name, item in value.items()
    ]
    return bytes((_OBJECT,)) + b"".join(pairs) + b"\0\0" + bytes((_END,))


def _name(text: bytes) -> bytes:
    if len(text) > 0xFFFF:
        raise ValueError("a name in AMF0 has at most 65535 bytes")
    return struct.pack(">H", len(text)) + text


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def value(self, depth: int) -> Value:
        self._items += 1
        if depth > _DEEPEST or self._items > _MOST_ITEMS:
            raise AmfError("an AMF0 value is too large")
        kind = self._take(1)[0]
        if kind == _NUMBER:
            return float(struct.unpack(">d", self._take(8))[0])
        if kind == _BOOLEAN:
            return self._take(1) != b"\0"
        if kind == _STRING:
            return self._text(2)
        if kind == _LONG_STRING:
            return self._text(4)
        if kind == _OBJECT:
            return self._properties(depth)
        if kind == _ECMA_ARRAY:
            self._take(4)  # a hint of the length
            return self._properties(depth)
        if kind == _STRICT_ARRAY:
            count = int.from_bytes(self._take(4), "big")
            if count > self.left:
                raise AmfError("an AMF0 array is cut off")
            return [self.value(depth + 1) for _ in range(count)]
        if kind == _DATE:
            return float(struct.unpack(">d", self._take(10)[:8])[0])
        if kind in (_NULL, _UNDEFINED):
            return None
        raise AmfError(f"AMF0 values of type {kind} are not read here")

    def _properties(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while True:
            name = self._text(2)
            if not name and self.left and self._data[self._at] == _END:
                self._take(1)
                return found
            found[name] = self.value(depth + 1)

    def _text(self, width: int) -> str:
        length = int.from_bytes(self._take(width), "big")
        return self._take(length).decode("utf-8", "surrogateescape")

    def _take(self, count: int) -> bytes:
        if count > self.left:
            raise AmfError("an AMF0 value is cut off")
        self._at += count
        return self._data[self._at - count : self._at]
