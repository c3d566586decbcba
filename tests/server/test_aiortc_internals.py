"""What the program takes from inside aiortc and aioice is there and does what we rely on.

Two real peers are connected in one process; each test fails when the private name it is about
is gone, or is used by aiortc in another way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import av
import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RtcpPsfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
)

from rtc import DEADLINE, Pictures, only, peer_connection, until
from streamfx.server import aiortc_internals
from streamfx.server.aiortc_internals import (
    UNDECODED,
    Decoded,
    ReceiverTap,
    SenderTap,
    candidate_addresses,
    negotiated_codecs,
    offer_addresses,
)
from streamfx.server.rtp_clock import SourceClock, ntp_to_seconds


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@dataclass
class Pair:
    """A sender and a receiver that are negotiated and not yet connected, then connected."""

    sender: RTCPeerConnection
    receiver: RTCPeerConnection
    sending: RTCRtpTransceiver
    track: Pictures

    @property
    def receiving(self) -> RTCRtpTransceiver:
        return self.receiver.getTransceivers()[0]

    async def connect(self) -> None:
        offer_addresses(self.receiver, "127.0.0.1")
        await self.receiver.setLocalDescription()
        await self.sender.setRemoteDescription(self.receiver.localDescription)
        await until(lambda: self.receiver.connectionState == "connected", "connecting")


@contextlib.asynccontextmanager
async def pair(codec: str = "vp8") -> AsyncIterator[Pair]:
    sender, receiver, track = peer_connection(), peer_connection(), Pictures()
    sending = sender.addTransceiver(track, "sendonly")
    sending.setCodecPreferences(only("video", codec))
    offer_addresses(sender, "127.0.0.1")
    await sender.setLocalDescription()
    await receiver.setRemoteDescription(sender.localDescription)
    try:
        yield Pair(sender, receiver, sending, track)
    finally:
        await sender.close()
        await receiver.close()


class Taken:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[tuple[Decoded, float]] = []

    def __call__(self, frame: Decoded, captured: float) -> None:
        self.frames.append((frame, captured))


def tap(of: Pair) -> tuple[ReceiverTap, Taken]:
    taken = Taken()
    clock = SourceClock({"video": 90_000, "audio": 48_000})
    return ReceiverTap(of.receiving.receiver, clock, taken), taken


@pytest.mark.parametrize(
    ("listening", "found", "offered"),
    [
        ("127.0.0.1", ["192.0.2.7"], ["127.0.0.1", "192.0.2.7"]),
        ("localhost", [], ["127.0.0.1"]),
        ("::1", ["192.0.2.7"], ["::1", "192.0.2.7"]),
        ("0.0.0.0", ["192.0.2.7"], ["192.0.2.7"]),
        ("0.0.0.0", [], ["127.0.0.1"]),
        ("::", ["192.0.2.7"], ["192.0.2.7"]),
        ("192.0.2.7", ["192.0.2.7", "198.51.100.1"], ["192.0.2.7"]),
        ("my-host", ["192.0.2.7"], ["192.0.2.7"]),
    ],
)
def test_which_addresses_are_offered(listening: str, found: list[str], offered: list[str]) -> None:
    assert candidate_addresses(listening, found) == offered


def test_the_loopback_address_is_gathered_where_the_server_listens_on_it() -> None:
    async def test() -> None:
        peer = peer_connection()
        peer.addTransceiver("video")
        offer_addresses(peer, "127.0.0.1")
        await peer.setLocalDescription()
        assert " 127.0.0.1 " in peer.localDescription.sdp
        await peer.close()

    run(test())


def test_the_codecs_are_known_once_they_are_negotiated() -> None:
    async def test() -> None:
        async with pair("h264") as peers:
            assert set(negotiated_codecs(peers.receiving)) == {"H264", "rtx"}
            assert negotiated_codecs(peers.receiving)[0] == "H264"

    run(test())


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_frames_reach_the_sink_with_the_time_of_their_capture(codec: str) -> None:
    async def test() -> None:
        async with pair(codec) as peers:
            tapped, taken = tap(peers)
            assert tapped.heard is None
            await peers.connect()
            await until(lambda: len(taken.frames) > 10, "frames")
            assert tapped.heard is not None
            times = [captured for _, captured in taken.frames]
            assert times == sorted(times)
            assert time.monotonic() - 10 < times[0] <= times[-1] <= time.monotonic()
            frame, _ = taken.frames[0]
            assert isinstance(frame, av.VideoFrame)
            assert (frame.width, frame.height) == (160, 96)
            assert tapped.gaps == tapped.undecoded == 0

    run(test())


def test_a_frame_does_not_wait_for_the_next_one() -> None:
    async def test() -> None:
        async with pair() as peers:
            _, taken = tap(peers)
            original = peers.track.recv

            async def four() -> av.VideoFrame:
                if peers.track.sent == 4:
                    await asyncio.Event().wait()
                return await original()

            vars(peers.track)["recv"] = four
            await peers.connect()
            await until(lambda: len(taken.frames) == 4, "the fourth frame, with none after it")

    run(test())


def test_padding_is_not_decoded() -> None:
    """Chromium probes with packets of padding after a frame's last packet."""

    async def test() -> None:
        async with pair() as peers:
            tapped, taken = tap(peers)
            await peers.connect()
            await until(lambda: len(taken.frames) > 3, "frames")
            receiver = peers.receiving.receiver
            originals = receiver._handle_rtp_packet
            shift = 0

            async def with_padding(packet: RtpPacket, arrival_time_ms: int) -> None:
                nonlocal shift
                packet.sequence_number = (packet.sequence_number + shift) % 65536
                await originals(packet, arrival_time_ms=arrival_time_ms)
                if packet.marker:
                    padding = RtpPacket(
                        packet.payload_type,
                        0,
                        (packet.sequence_number + 1) % 65536,
                        packet.timestamp,
                        packet.ssrc,
                    )
                    padding.padding_size = 200
                    shift += 1
                    await originals(padding, arrival_time_ms=arrival_time_ms)

            vars(receiver)["_handle_rtp_packet"] = with_padding
            before = len(taken.frames)
            await until(lambda: len(taken.frames) > before + 10, "frames between padding")
            assert shift > 8
            assert tapped.gaps == tapped.key_frame_requests == 0

    run(test())


def test_a_key_frame_is_asked_for_when_packets_and_their_repetition_are_lost() -> None:
    async def test() -> None:
        async with pair() as peers:
            tapped, taken = tap(peers)
            await peers.connect()
            await until(lambda: len(taken.frames) > 3, "frames")
            receiver = peers.receiving.receiver
            original = receiver._handle_rtp_packet
            lost: set[int] = set()

            async def lossy(packet: RtpPacket, arrival_time_ms: int) -> None:
                if len(lost) < 3:
                    lost.add(packet.sequence_number)
                elif packet.payload_type == negotiated[0]:
                    await original(packet, arrival_time_ms=arrival_time_ms)

            negotiated = [c.payloadType for c in peers.receiving._codecs]
            vars(receiver)["_handle_rtp_packet"] = lossy
            await until(lambda: tapped.key_frame_requests, "a request")
            before = len(taken.frames)
            await until(lambda: len(taken.frames) > before + 5, "frames after the loss")
            assert tapped.gaps == 1

    run(test())


def test_frames_that_cannot_be_decoded_ask_for_a_key_frame_not_with_each_packet() -> None:
    async def test() -> None:
        async with pair("h264") as peers:
            tapped, taken = tap(peers)
            await peers.connect()
            await until(lambda: len(taken.frames) > 3, "frames")
            error = peers.receiving.receiver._RTCRtpReceiver__decoder_error
            asked = tapped.key_frame_requests
            error.set()
            await until(lambda: tapped.key_frame_requests == asked + 1, "a request")
            assert not error.is_set()
            error.set()
            seen = len(taken.frames)
            await until(lambda: len(taken.frames) > seen, "another frame")
            assert tapped.key_frame_requests <= asked + 2

    run(test())


def test_what_waits_for_the_decoder_is_bounded() -> None:
    async def test() -> None:
        async with pair() as peers:
            tapped, _ = tap(peers)
            waiting = peers.receiving.receiver._RTCRtpReceiver__decoder_queue
            release = threading.Event()

            def slow(frame: Decoded, captured: float) -> None:
                release.wait(DEADLINE)

            peers.receiving.receiver._track._queue._sink = slow
            await peers.connect()
            await until(lambda: tapped.undecoded > 2, "the bound")
            assert waiting.qsize() <= UNDECODED
            release.set()

    run(test())


def test_sender_reports_set_the_clock() -> None:
    async def test() -> None:
        async with pair() as peers:
            reports: list[tuple[str, int, int]] = []
            clock = SourceClock({"video": 90_000})
            original = clock.reported

            def noted(kind: str, ntp: int, timestamp: int, now: float) -> None:
                reports.append((kind, ntp, timestamp))
                original(kind, ntp, timestamp, now)

            clock.reported = noted  # type: ignore[method-assign]
            ReceiverTap(peers.receiving.receiver, clock, Taken())
            await peers.connect()
            await until(lambda: len(reports) > 1, "sender reports")
            kind, ntp, _ = reports[-1]
            assert kind == "video"
            assert abs(ntp_to_seconds(ntp) - time.time()) < 10

    run(test())


def test_the_end_of_the_connection_ends_the_track() -> None:
    async def test() -> None:
        async with pair() as peers:
            _, taken = tap(peers)
            await peers.connect()
            await until(lambda: taken.frames, "frames")
            await peers.sender.close()
            with pytest.raises(MediaStreamError):
                await asyncio.wait_for(peers.receiving.receiver.track.recv(), 10)

    run(test())


class Stamped(MediaStreamTrack):
    """Tells the tap which frame went out, as streamfx.server.tracks does."""

    kind = "video"

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self.tap: SenderTap | None = None
        self.captured = 1000.0
        self.pairs: dict[int, float] = {}
        self._pictures = pictures
        self._first = True

    async def recv(self) -> av.VideoFrame:
        assert self.tap is not None
        if not self._first:
            self.tap.sent(self.captured)
            assert self.tap._reported is not None
            self.pairs[self.tap._reported[0]] = self.captured
        self._first = False
        frame = await self._pictures.recv()
        self.captured += 1 / 15
        return frame


def test_sender_reports_tell_the_time_of_capture_and_requests_are_heard() -> None:
    async def test() -> None:
        async with pair() as peers:
            track = Stamped(peers.track)
            asked: list[None] = []
            rates: list[int] = []
            peers.sending.sender.replaceTrack(track)
            tapped = track.tap = SenderTap(
                peers.sending.sender,
                wall_offset=500.0,
                on_key_frame=lambda: asked.append(None),
                on_bandwidth=rates.append,
            )
            reports: list[Any] = []
            receiver = peers.receiving.receiver
            original = receiver._handle_rtcp_packet

            async def note(packet: Any) -> None:
                if isinstance(packet, RtcpSrPacket):
                    reports.append(packet.sender_info)
                await original(packet)

            vars(receiver)["_handle_rtcp_packet"] = note
            assert tapped.heard is None
            assert tapped.backlog() == 0
            await peers.connect()
            assert tapped.backlog() == 0
            await until(lambda: len(reports) > 2, "sender reports")
            for report in reports:
                captured = track.pairs[report.rtp_timestamp]
                assert ntp_to_seconds(report.ntp_timestamp) == pytest.approx(captured + 500)
            ssrc = peers.sending.sender._ssrc
            pli = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=ssrc)
            remb = RtcpPsfbPacket(
                fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(1_500_000, [ssrc])
            )
            other = RtcpPsfbPacket(
                fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(9_000, [ssrc + 1])
            )
            broken = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=ssrc, fci=b"what")
            for packet in (broken, other, remb, pli):
                await receiver._send_rtcp(packet)
            await until(lambda: asked, "the request")
            await until(lambda: any(abs(r - 1_500_000) < 10_000 for r in rates), "the estimate")
            assert not any(rate < 50_000 for rate in rates)
            assert tapped.heard is not None
            await until(lambda: _round_trip(peers) is not None, "a round trip time")

    run(test())


def _round_trip(of: Pair) -> float | None:
    """Receiver reports name the sender report they saw; aiortc must still know it as its own."""
    rtt: float | None = of.sending.sender._RTCRtpSender__rtt
    return rtt


def test_no_report_goes_out_before_the_first_packet() -> None:
    async def test() -> None:
        async with pair() as peers:
            SenderTap(
                peers.sending.sender,
                wall_offset=0,
                on_key_frame=lambda: None,
                on_bandwidth=lambda _: None,
            )
            sent: list[bytes] = []
            transport = peers.sending.sender.transport

            async def record(data: bytes) -> None:
                sent.append(data)

            vars(transport)["_send_rtp"] = record
            await peers.sending.sender._send_rtcp([RtcpSrPacket(ssrc=1, sender_info=None)])
            assert sent == []

    run(test())


def test_bytes_that_wait_for_the_network_are_counted() -> None:
    async def test() -> None:
        async with pair() as peers:
            tapped = SenderTap(
                peers.sending.sender,
                wall_offset=0,
                on_key_frame=lambda: None,
                on_bandwidth=lambda _: None,
            )
            await peers.connect()
            ice = peers.sending.sender.transport.transport._connection
            (chosen,) = ice._nominated.values()
            transport = chosen.protocol.transport
            transport._buffer.append((b"x" * 1000, None))
            transport._buffer_size += 1000
            assert tapped.backlog() >= 1000
            transport._buffer.pop()
            transport._buffer_size -= 1000

    run(test())


def test_a_private_name_that_is_gone_is_an_error() -> None:
    with pytest.raises(AttributeError):
        aiortc_internals._private(Pictures(), "jitter_buffer")
    with pytest.raises(AttributeError):
        aiortc_internals._replace(Pictures(), "jitter_buffer", None)


def test_nothing_else_touches_aiortcs_privates() -> None:
    from pathlib import Path

    import streamfx.server

    (folder,) = streamfx.server.__path__
    for module in Path(folder).glob("*.py"):
        if module.name != "aiortc_internals.py":
            text = module.read_text()
            for name in ("_RTC", "._connection._", "_handle_rtcp", "_send_rtcp", "._codecs"):
                assert name not in text, (module.name, name)
