"""aiortc peers for the live benchmarks: a publisher of ready packets, and viewers."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

import av
import numpy as np
from aiohttp import ClientSession
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from numpy.typing import NDArray

from streamfx.server.aiortc_internals import offer_addresses

BLOCK = 40  # pixels
BITS = 14
Luma = NDArray[np.uint8]


def stamp(luma: Luma, number: int) -> None:
    """Write a number along the bottom: a black and a white block, then its bits."""
    for index, on in enumerate([0, 1, *((number >> bit) & 1 for bit in range(BITS))]):
        luma[-BLOCK:, index * BLOCK : (index + 1) * BLOCK] = 235 if on else 16


def read_stamp(luma: Luma) -> int:
    """The number that `stamp` wrote, after any restyling that leaves black darker than white."""
    middle = luma[-BLOCK * 3 // 4 : -BLOCK // 4]
    light = [
        float(middle[:, i * BLOCK + BLOCK // 4 : (i + 1) * BLOCK - BLOCK // 4].mean())
        for i in range(BITS + 2)
    ]
    threshold = (light[0] + light[1]) / 2
    return sum((value > threshold) << bit for bit, value in enumerate(light[2:]))


class Camera(MediaStreamTrack):
    """Stamped pictures as H.264 packets, encoded as a fast camera would.

    Attributes:
        taken: number -> time.monotonic() just before the picture was encoded.
    """

    kind = "video"

    def __init__(self, pictures: list[Luma], fps: int) -> None:
        super().__init__()
        self.taken: dict[int, float] = {}
        self._pictures, self._fps = pictures, fps
        self._number = 0
        self._began = time.monotonic()
        height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
        self._height = height
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 90_000), Fraction(fps)
        encoder.bit_rate, encoder.gop_size, encoder.thread_count = 4_000_000, fps, 1
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        self._encoder = encoder

    async def recv(self) -> av.Packet:
        await asyncio.sleep(self._began + self._number / self._fps - time.monotonic())
        return await asyncio.get_running_loop().run_in_executor(None, self._encode)

    def _encode(self) -> av.Packet:
        planes = self._pictures[self._number % len(self._pictures)].copy()
        stamp(planes[: self._height], self._number)
        taken = time.monotonic()
        self.taken[self._number % (1 << BITS)] = taken
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = round((taken - self._began) * 90_000), Fraction(1, 90_000)
        self._number += 1
        (packet,) = self._encoder.encode(frame)
        return packet


async def connect(
    http: ClientSession, url: str, sent: MediaStreamTrack | None
) -> RTCPeerConnection:
    """A peer that sends a track in H.264 to a WHIP endpoint of this machine, or, without a
    track, watches H.264 from a WHEP endpoint."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = (
        peer.addTransceiver("video", direction="recvonly")
        if sent is None
        else peer.addTransceiver(sent, direction="sendonly")
    )
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in known if c.name in ("H264", "rtx")])
    offer_addresses(peer, "127.0.0.1")
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Content-Type": "application/sdp"}
    async with http.post(url, data=peer.localDescription.sdp, headers=headers) as response:
        text = await response.text()
        if response.status != 201:
            raise SystemExit(f"{url}: {response.status} {text}")
    await peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
    return peer
