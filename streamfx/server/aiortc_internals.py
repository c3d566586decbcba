"""Every touch of what aiortc 1.16 and aioice keep private; nothing else of the program has one.

aiortc decodes and sends, but waits for a frame longer than it must, can't tell who listens, and
takes no packets' times. Each function here says which private name it rests on, and
tests/server/test_aiortc_internals.py fails when one of them goes or changes its meaning.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import av
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpSrPacket,
    RtpPacket,
    unpack_remb_fci,
)

from streamfx.server.jitter import (
    EncodedFrame,
    FrameAssembler,
    KeyFrameRequests,
    Payload,
    begins_picture,
)
from streamfx.server.rtp_clock import SourceClock, seconds_to_ntp

Decoded = av.VideoFrame | av.AudioFrame
LOOPBACK = "127.0.0.1"
UNDECODED = 16  # whole frames that may wait for the decoder
LOG = logging.getLogger(__name__)


def _private(owner: object, name: str) -> Any:
    """A name-mangled attribute; AttributeError when aiortc has it no more."""
    return getattr(owner, f"_{type(owner).__name__}__{name}")


def _replace(owner: object, name: str, value: object) -> None:
    _private(owner, name)
    setattr(owner, f"_{type(owner).__name__}__{name}", value)


def candidate_addresses(listening: str, found: list[str]) -> list[str]:
    """Addresses to offer as host candidates.

    Args:
        listening: what the HTTP server is bound to, a name or an address. Behind a loopback
            address clients are on this machine and may have no network at all; one other
            address is offered alone; anything else means all.
        found: the machine's addresses but loopback.
    """
    try:
        address = ipaddress.ip_address(LOOPBACK if listening == "localhost" else listening)
    except ValueError:
        return found or [LOOPBACK]
    if address.is_loopback:
        return [str(address), *found]
    if address.is_unspecified:
        return found or [LOOPBACK]
    return [str(address)]


def offer_addresses(peer: RTCPeerConnection, listening: str) -> None:
    """Gather host candidates as `candidate_addresses` says; before setLocalDescription.

    Rests on RTCIceTransport._connection and aioice's Connection.get_component_candidates, which
    gets every address of the machine but 127.0.0.1.
    """
    for transceiver in peer.getTransceivers():
        connection = transceiver.receiver.transport.transport._connection
        original = type(connection).get_component_candidates

        async def gather(
            component: int, addresses: list[str], *, of: Any = connection, by: Any = original
        ) -> Any:
            return await by(of, component, candidate_addresses(listening, addresses))

        vars(connection)["get_component_candidates"] = gather


def negotiated_codecs(transceiver: RTCRtpTransceiver) -> list[str]:
    """The codecs' names in the order of preference, rtx among them; rests on _codecs."""
    return [codec.name for codec in transceiver._codecs]


class ReceiverTap:
    """Takes the frames of a receiver as early as they can be had.

    In place of aiortc's jitter buffer is a FrameAssembler; decoded frames go from aiortc's
    decoder thread straight to `sink`, past the event loop. Whole frames that wait for the
    decoder are bounded: beyond 16 the next ones are dropped up to a key frame, and counted.

    Rests on RTCRtpReceiver's __jitter_buffer, __decoder_queue, __decoder_error, __codecs,
    _handle_rtcp_packet and _track._queue, and on RtpPacket._data.

    Args:
        receiver: of a transceiver that is negotiated and not yet started.
        clock: maps this receiver's kind.
        sink: takes (frame, captured) on the decoder thread; must not raise or block.

    Attributes:
        heard: time.monotonic() of the last packet, None before the first.
        undecoded: frames dropped because the decoder was behind.
        key_frame_requests: how many were sent.
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        clock: SourceClock,
        sink: Callable[[Decoded, float], None],
    ) -> None:
        self.kind: str = receiver.track.kind
        self.heard: float | None = None
        self.undecoded = 0
        self.key_frame_requests = 0
        self._receiver = receiver
        self._clock = clock
        self._assembler = FrameAssembler(video=self.kind == "video")
        self._requests: KeyFrameRequests | None = None
        self._queue: queue.Queue[object] = _private(receiver, "decoder_queue")
        self._error: threading.Event = _private(receiver, "decoder_error")
        self._codecs: dict[int, Any] = _private(receiver, "codecs")
        self._handle_rtcp = receiver._handle_rtcp_packet
        _replace(receiver, "jitter_buffer", self)
        vars(receiver)["_handle_rtcp_packet"] = self._note_rtcp
        track = receiver._track
        assert track is not None
        assert isinstance(track._queue, asyncio.Queue)
        track._queue = _Outlet(self._decoded, sink)

    @property
    def gaps(self) -> int:
        return self._assembler.gaps

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc calls with each packet, retransmissions unpacked: (send a PLI, no frame)."""
        now = time.monotonic()
        self.heard = now
        codec = self._codecs[packet.payload_type]
        data: bytes = vars(packet)["_data"]
        ticks = self._clock.arrived(self.kind, packet.timestamp, now)
        payload = Payload(
            codec.name,
            packet.sequence_number,
            ticks,
            bool(packet.marker),
            data,
            begins_picture(codec.name, packet.payload, data),
        )
        frames = self._assembler.push(payload, now)
        for frame in frames:
            self._decode(codec, frame)
        return self.kind == "video" and self._wants_key_frame(bool(frames), now), None

    def _decode(self, codec: Any, frame: EncodedFrame) -> None:
        if self._queue.qsize() >= UNDECODED:
            self.undecoded += 1
            self._assembler.lose()
        else:
            self._queue.put((codec, JitterFrame(frame.data, frame.timestamp)))

    def _wants_key_frame(self, delivered: bool, now: float) -> bool:
        if self._requests is None:
            self._requests = KeyFrameRequests(now)
        if delivered:
            self._requests.delivered(now)
        broken = self._error.is_set()
        if not (broken or self._assembler.needs_key_frame):
            return False
        due = self._requests.due(now, at_once=broken)
        self._error.clear()  # or aiortc sends one with each packet
        self.key_frame_requests += due
        return due

    async def _note_rtcp(self, packet: AnyRtcpPacket) -> None:
        now = time.monotonic()
        self.heard = now
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            self._clock.reported(self.kind, info.ntp_timestamp, info.rtp_timestamp, now)
        await self._handle_rtcp(packet)

    def _decoded(self, frame: Decoded) -> float:
        assert frame.pts is not None
        return self._clock.captured(self.kind, frame.pts, time.monotonic())


class _Outlet(asyncio.Queue[Any]):
    """Stands for the queue of a remote track: a frame put in goes to the sink at once."""

    def __init__(
        self, captured: Callable[[Decoded], float], sink: Callable[[Decoded, float], None]
    ) -> None:
        super().__init__()
        self._captured = captured
        self._sink = sink

    def put(self, item: Decoded | None) -> Coroutine[Any, Any, None]:
        """Called on the decoder thread; what it gives is run by the event loop. None ends."""
        if item is None:
            return super().put(None)
        self._sink(item, self._captured(item))
        return _nothing()


async def _nothing() -> None:
    pass


class SenderTap:
    """Tells what a viewer's sender hears, and lets it report the time of capture.

    aiortc's sender reports (RFC 3550 section 6.4.1) tie an RTP time stamp to when it was sent.
    Here they tie it to when it was captured, by one clock for sound and picture, which is what
    a player needs to show both at once. Before the first packet no report is sent.

    Rests on RTCRtpSender's _ssrc, __rtp_timestamp, __lsr, _send_rtcp, _handle_rtcp_packet and
    _send_keyframe; RTCIceTransport._connection and aioice's Connection._nominated.

    Args:
        sender: not yet started.
        wall_offset: Unix time less time.monotonic(), the same for both senders of a viewer.
        on_key_frame: the viewer asks for a key frame.
        on_bandwidth: the viewer's estimate, bits per second (REMB).

    Attributes:
        heard: time.monotonic() of the last RTCP packet, None before the first.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        *,
        wall_offset: float,
        on_key_frame: Callable[[], None],
        on_bandwidth: Callable[[int], None],
    ) -> None:
        self.heard: float | None = None
        self._sender = sender
        self._wall_offset = wall_offset
        self._on_bandwidth = on_bandwidth
        self._reported: tuple[int, int] | None = None
        self._send_rtcp: Callable[[list[AnyRtcpPacket]], Awaitable[None]] = sender._send_rtcp
        self._handle_rtcp = sender._handle_rtcp_packet
        _private(sender, "rtp_timestamp")
        _private(sender, "lsr")
        assert callable(sender._send_keyframe)
        hooks = {
            "_send_keyframe": on_key_frame,
            "_send_rtcp": self._report,
            "_handle_rtcp_packet": self._note_rtcp,
        }
        vars(sender).update(hooks)

    def sent(self, captured: float) -> None:
        """The packets of the frame that was captured then have gone out, and none since."""
        ntp = seconds_to_ntp(captured + self._wall_offset)
        self._reported = (_private(self._sender, "rtp_timestamp"), ntp)

    def backlog(self) -> int:
        """Bytes that wait in this process because the network takes no more."""
        nominated = self._sender.transport.transport._connection._nominated
        # A relayed pair's transport is aioice's own and has no buffer.
        transports: list[Any] = [pair.protocol.transport for pair in nominated.values()]
        return sum(
            transport.get_write_buffer_size()
            for transport in transports
            if hasattr(transport, "get_write_buffer_size")
        )

    async def _report(self, packets: list[AnyRtcpPacket]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                if self._reported is None:
                    return
                info = packet.sender_info
                info.rtp_timestamp, info.ntp_timestamp = self._reported
                _replace(self._sender, "lsr", (info.ntp_timestamp >> 16) & 0xFFFFFFFF)
        await self._send_rtcp(packets)

    async def _note_rtcp(self, packet: AnyRtcpPacket) -> None:
        self.heard = time.monotonic()
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            try:
                bits_per_second, ssrcs = unpack_remb_fci(packet.fci)
            except ValueError:
                return
            if self._sender._ssrc in ssrcs:
                self._on_bandwidth(bits_per_second)
        else:
            await self._handle_rtcp(packet)
