"""Sound and picture stay together, and packets are what was negotiated."""

from __future__ import annotations

import asyncio
import itertools
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from rtc import Pictures, Tone, offer_of, peer_connection, publish, serving, until
from streamfx.frames import Frame
from streamfx.live.encoders import VideoEncoder
from streamfx.server.aiortc_internals import Decoded, ReceiverTap
from streamfx.server.peers import Watcher
from streamfx.server.rtp_clock import SourceClock
from streamfx.server.sessions import close_peer
from streamfx.server.tracks import is_of


class Flashes(Pictures):
    """White in every other half second."""

    async def recv(self) -> av.VideoFrame:
        frame = await super().recv()
        on = int(2 * float(frame.pts * frame.time_base)) % 2
        planes = frame.to_ndarray()
        planes[: frame.height] = 220 if on else 30
        flash = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        flash.pts, flash.time_base = frame.pts, frame.time_base
        return flash


class Beeps(Tone):
    """Loud in every other half second."""

    async def recv(self) -> av.AudioFrame:
        frame = await super().recv()
        if int(2 * float(frame.pts * frame.time_base)) % 2:
            return frame
        silence = av.AudioFrame.from_ndarray(np.zeros_like(frame.to_ndarray()), "s16", "stereo")
        silence.sample_rate, silence.pts, silence.time_base = 48_000, frame.pts, frame.time_base
        return silence


def _begins(levels: list[tuple[float, float]], threshold: float) -> list[float]:
    """When a level rose over the threshold."""
    pairs = itertools.pairwise(levels)
    return [time for (_, before), (time, now) in pairs if before < threshold <= now]


def test_a_flash_and_a_beep_are_reported_as_one_moment(tmp_path: Path) -> None:
    """A viewer maps both tracks by our sender reports, as a browser does."""

    async def test() -> None:
        async with serving(tmp_path, live={"strength": 0.0}) as server:
            pictures, sound = Flashes(fps=30), Beeps()
            pictures._began = sound._began = time.monotonic() + 0.3
            publisher = await publish(server, video=pictures, audio=sound)
            connection = peer_connection()
            for kind in ("video", "audio"):
                connection.addTransceiver(kind, "recvonly")
            offer = await offer_of(connection)
            headers = {"Content-Type": "application/sdp"}
            url = f"{server.url}/whep/live"
            async with server.http.post(url, data=offer, headers=headers) as response:
                answer = await response.text()
            clock = SourceClock({"video": 90_000, "audio": 48_000})
            brightness: list[tuple[float, float]] = []
            loudness: list[tuple[float, float]] = []
            reports: set[str] = set()

            def see(frame: Decoded, captured: float) -> None:
                assert isinstance(frame, av.VideoFrame)
                if reports == {"video", "audio"}:
                    luma = frame.to_ndarray()[: frame.height]
                    brightness.append((captured, float(luma.mean())))

            def hear(frame: Decoded, captured: float) -> None:
                if reports == {"video", "audio"}:
                    samples = np.abs(frame.to_ndarray().astype(np.float32))
                    loudness.append((captured, float(samples.mean())))

            reported = clock.reported

            def note(kind: str, *rest: Any) -> None:
                reports.add(kind)
                reported(kind, *rest)

            clock.reported = note  # type: ignore[method-assign]

            def tap(track: MediaStreamTrack) -> None:
                receiver = next(r for r in connection.getReceivers() if r.track is track)
                ReceiverTap(receiver, clock, see if track.kind == "video" else hear)

            connection.on("track", tap)
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await until(
                lambda: len(_begins(brightness, 125)) > 3 and len(_begins(loudness, 1000)) > 3,
                "flashes and beeps",
            )
            flashes, beeps = _begins(brightness, 125), _begins(loudness, 1000)
            first = max(flashes[0], beeps[0]) - 0.3
            offsets = [
                min((beep - flash for beep in beeps), key=abs) for flash in flashes if flash > first
            ]
            # A picture lasts 33 ms and a packet of sound 20, which is what can be seen here.
            assert abs(float(np.median(offsets[:3]))) < 0.06, offsets
            await connection.close()
            await publisher.connection.close()

    asyncio.run(test())


def _encoded(codec: Any) -> Any:
    plane = np.full((32, 32), 90, np.uint8)
    chroma = np.full((16, 16), 128, np.uint8)
    frame = Frame(plane, chroma, chroma)
    packet = VideoEncoder(codec, (32, 32), 200_000, 30, frame).encode(frame, 0, key=True)
    assert packet is not None
    return packet


def test_packets_are_told_apart() -> None:
    for codec in ("h264", "vp8"):
        assert is_of(codec, _encoded(codec))  # type: ignore[arg-type]
    assert not is_of("h264", _encoded("vp8"))
    assert not is_of("vp8", _encoded("h264"))
    assert not is_of("vp8", av.Packet(b"\x00" * 20))


class WrongPackets:
    """Gives VP8 whatever was asked for."""

    closed = False

    def next_video(self) -> Any:
        packet = _encoded("vp8")
        packet.pts, packet.time_base = 0, Fraction(1, 90_000)
        return packet

    def next_audio(self) -> None:
        return None

    def report_bandwidth(self, bits_per_second: int) -> None:
        pass

    def request_key_frame(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Broadcast:
    def __init__(self, packets: WrongPackets) -> None:
        self._packets = packets

    def subscribe(self, codec: str, wake: object) -> WrongPackets:
        return self._packets


def test_a_packet_of_another_codec_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    packets = WrongPackets()

    async def test() -> None:
        from streamfx.server.sdp import read_offer

        viewer = peer_connection()
        viewer.addTransceiver("video", "recvonly")
        offer = read_offer((await offer_of(viewer)).encode(), "watch")
        watcher = Watcher("127.0.0.1", Broadcast(packets))
        answer = await watcher.answer(offer, 31)
        await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(watcher.ended.wait(), 20)
        await watcher.close()
        await viewer.close()

    asyncio.run(test())
    assert packets.closed
    assert "is not h264" in caplog.text


def test_a_connection_that_does_not_close_leaves_no_viewer_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(_: RTCPeerConnection) -> None:
        await asyncio.Event().wait()

    async def broken(_: RTCPeerConnection) -> None:
        raise RuntimeError("broken")

    async def test() -> None:
        for close, said in ((never, "in time"), (broken, "cleanly")):
            packets = WrongPackets()
            watcher = Watcher("127.0.0.1", Broadcast(packets))
            with pytest.raises(MediaStreamError):
                watcher._next("video")  # as when the connection stands
            monkeypatch.setattr(RTCPeerConnection, "close", close)
            await close_peer(watcher)
            assert packets.closed
            assert watcher.ended.is_set()
            assert said in caplog.text

    monkeypatch.setattr("streamfx.server.sessions.CLOSE_SECONDS", 0.05)
    asyncio.run(test())
