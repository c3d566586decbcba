"""Publishing to an RTMP server.

FFmpeg has a client, but PyAV connects and writes headers with Python's lock held: while a
server is slow to answer, all other streams would stand still.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import SplitResult

from streamfx.errors import StreamFXError
from streamfx.rtmp import amf
from streamfx.rtmp.chunks import DATA, Message
from streamfx.rtmp.link import Link, command_of

PORTS = {"rtmp": 1935, "rtmps": 443}
_SET_DATA_FRAME = amf.encode("@setDataFrame")


class Refused(StreamFXError):
    """The server does not take the stream."""


class RtmpPublisher:
    """A connection on which a stream is published.

    Args:
        url: rtmp:// or rtmps://, its path and query /APP/KEY.
        timeout: seconds that connecting, each answer and each write may take.

    Raises:
        Refused: the server says no.
        OSError, StreamFXError: it cannot be reached or speaks something else.
    """

    def __init__(self, url: SplitResult, app: str, key: str, timeout: float) -> None:
        self._timeout = timeout
        host, port = url.hostname or "", url.port or PORTS[url.scheme]
        sock = socket.create_connection((host, port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "rtmps":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            self._link = Link(sock)
            self._link.shake_hands(server=False)
            self._link.begin()
            self._stream = self._publish(f"{url.scheme}://{host}:{port}/{app}", app, key)
        except BaseException:
            sock.close()
            raise

    def send(self, message: Message) -> None:
        """Send a tag of the stream, and deal with what the server says meanwhile.

        Raises:
            Refused: the server ends the stream.
            OSError, StreamFXError: the connection is broken.
        """
        payload = message.payload
        if message.kind == DATA:  # the metadata, which a server keeps for those who come later
            payload = _SET_DATA_FRAME + payload
        self._link.send(
            Message(message.kind, payload, message.timestamp, self._stream, message.channel)
        )
        for received in self._link.receive(wait=False):
            self._refuse(command_of(received))

    def close(self) -> None:
        """Say that the stream ends, and leave."""
        try:
            self._link.command("deleteStream", 0.0, None, float(self._stream))
        except OSError:
            pass
        finally:
            self._link.close()

    def _publish(self, tc_url: str, app: str, key: str) -> int:
        link = self._link
        about: dict[str, amf.Value] = {
            "app": app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; StreamFX)",
            "tcUrl": tc_url,
        }
        link.command("connect", 1.0, about)
        self._answer(1.0)
        link.command("releaseStream", 2.0, None, key)
        link.command("FCPublish", 3.0, None, key)
        link.command("createStream", 4.0, None)
        number = self._answer(4.0)
        stream = int(number) if isinstance(number, float) and 0 <= number < 2**32 else 1
        link.command("publish", 5.0, None, key, "live", stream=stream)
        self._started()
        return stream

    def _answer(self, transaction: float) -> amf.Value:
        """What the server answers to a command: its fourth value."""
        for said in self._commands():
            if said[0] == "_result" and said[1:2] == [transaction]:
                return said[3] if len(said) > 3 else None
            if said[0] == "_error" and said[1:2] == [transaction]:
                raise Refused(f"the server refuses: {_description(said)}")
        raise StreamFXError("the server does not answer")

    def _started(self) -> None:
        for said in self._commands():
            if said[0] == "onStatus" and "Publish.Start" in _code(said):
                return
        raise StreamFXError("the server does not begin the stream")

    def _commands(self) -> Iterator[list[amf.Value]]:
        """What the server says, until it says nothing for too long."""
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            for message in self._link.receive():
                said = command_of(message)
                if said:
                    self._refuse(said)
                    yield said

    def _refuse(self, said: list[amf.Value] | None) -> None:
        if not said:
            return
        if said[0] == "close":
            raise Refused("the server closes the connection")
        if said[0] == "onStatus" and _level(said) == "error":
            raise Refused(f"the server refuses: {_description(said)}")


def _info(said: list[amf.Value]) -> dict[str, amf.Value]:
    return next((value for value in reversed(said) if isinstance(value, dict)), {})


def _code(said: list[amf.Value]) -> str:
    return str(_info(said).get("code") or "")


def _level(said: list[amf.Value]) -> str:
    return str(_info(said).get("level") or "")


def _description(said: list[amf.Value]) -> str:
    """The code alone: a description may repeat the key."""
    return _code(said)[:100] or "without a reason"
