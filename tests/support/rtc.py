"""A live server on a loopback port, and aiortc peers that publish to it and watch it."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

import packs
from streamfx.server.aiortc_internals import offer_addresses
from streamfx.server.app import make_app
from streamfx.server.config import ServerConfig

SDP = {"Content-Type": "application/sdp"}
DEADLINE = 30.0  # seconds that a test waits for what must happen


async def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.02)


@dataclass
class Server:
    """A running server and a client for it."""

    app: web.Application
    url: str
    http: ClientSession


@contextlib.asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """A server with the small pack of packs.py, which is written into `folder`."""
    pack = folder / "tiny.stylepack"
    if not pack.exists():
        packs.tiny_pack(folder)
    live = {"threads": 1, **settings.pop("live", {})}
    config = ServerConfig(pack=str(pack), live=live, **settings)
    server = TestServer(make_app(config), host="127.0.0.1")
    await server.start_server()
    try:
        async with ClientSession() as http:
            yield Server(server.app, str(server.make_url("")).rstrip("/"), http)
    finally:
        await server.close()


class Pictures(MediaStreamTrack):
    """Moving pictures at a steady rate; `size` may be changed at any time."""

    kind = "video"

    def __init__(self, size: tuple[int, int] = (160, 96), fps: int = 15) -> None:
        super().__init__()
        self.size = size
        self.sent = 0
        self._fps = fps
        self._began = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        due = self._began + self.sent / self._fps
        await asyncio.sleep(due - time.monotonic())
        width, height = self.size
        luma = (np.add.outer(np.arange(height), np.arange(width)) + 8 * self.sent) % 200 + 20
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = luma
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self.sent * 90_000 // self._fps, fractions.Fraction(1, 90_000)
        self.sent += 1
        return frame


class Tone(MediaStreamTrack):
    """A 440 Hz tone, 20 ms at a time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0
        self._began = time.monotonic()

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(self._began + self._sent / 48_000 - time.monotonic())
        at = (self._sent + np.arange(960)) / 48_000
        wave = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], "s16", "stereo")
        frame.sample_rate = 48_000
        frame.pts, frame.time_base = self._sent, fractions.Fraction(1, 48_000)
        self._sent += 960
        return frame


def only(kind: str, *codecs: str) -> list[Any]:
    """Capabilities of the named codecs, with rtx."""
    known = RTCRtpSender.getCapabilities(kind).codecs
    return [c for c in known if c.name.lower() in (*codecs, "rtx")]


@dataclass
class Client:
    """A peer that has been answered."""

    connection: RTCPeerConnection
    location: str
    answer: str
    etag: str
    pictures: list[av.VideoFrame] = field(default_factory=list)
    sounds: list[av.AudioFrame] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)


async def offer_of(connection: RTCPeerConnection) -> str:
    offer_addresses(connection, "127.0.0.1")
    await connection.setLocalDescription(await connection.createOffer())
    return str(connection.localDescription.sdp)


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def peer_connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def _answered(
    server: Server, path: str, connection: RTCPeerConnection, token: str | None
) -> Client:
    offer = await offer_of(connection)
    headers = SDP | bearer(token)
    async with server.http.post(server.url + path, data=offer, headers=headers) as response:
        text = await response.text()
        if response.status != 201:
            await connection.close()
        assert response.status == 201, (response.status, text)
        return Client(connection, response.headers["Location"], text, response.headers["ETag"])


async def publish(
    server: Server,
    name: str = "live",
    *,
    video: MediaStreamTrack | None = None,
    audio: MediaStreamTrack | None = None,
    codec: str = "vp8",
    token: str | None = None,
) -> Client:
    """Publish a video, and sound if it is given."""
    connection = peer_connection()
    sending = connection.addTransceiver(video or Pictures(), direction="sendonly")
    sending.setCodecPreferences(only("video", codec))
    if audio is not None:
        connection.addTransceiver(audio, direction="sendonly")
    client = await _answered(server, f"/whip/{name}", connection, token)
    await connection.setRemoteDescription(RTCSessionDescription(client.answer, "answer"))
    return client


async def watch(
    server: Server,
    name: str = "live",
    *,
    codecs: tuple[str, ...] = ("h264", "vp8"),
    sound: bool = True,
    token: str | None = None,
) -> Client:
    """Watch a stream; what comes is collected in the client."""
    connection = peer_connection()
    connection.addTransceiver("video", direction="recvonly").setCodecPreferences(
        only("video", *codecs)
    )
    if sound:
        connection.addTransceiver("audio", direction="recvonly")
    client = await _answered(server, f"/whep/{name}", connection, token)

    def collect(track: MediaStreamTrack) -> None:
        kept: list[Any] = client.pictures if track.kind == "video" else client.sounds

        async def receive() -> None:
            with contextlib.suppress(MediaStreamError):
                while True:
                    kept.append(await track.recv())
            client.ended.add(track.kind)

        tasks.append(asyncio.ensure_future(receive()))

    tasks: list[asyncio.Future[None]] = []
    connection.on("track", collect)
    await connection.setRemoteDescription(RTCSessionDescription(client.answer, "answer"))
    return client


async def vanish(client: Client) -> None:
    """Stop a peer as if its process were killed: nothing is said to the other side."""
    for transceiver in client.connection.getTransceivers():
        ice = transceiver.receiver.transport.transport._connection
        for protocol in ice._protocols:
            protocol.transport.abort()
