"""A track that sends what is encoded already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streamfx.server.aiortc_internals import SenderTap
from streamfx.server.sdp import VideoCodec

MOST_BACKLOG = 1 << 20  # bytes that may wait for the network before a viewer is held back
_BACKLOG_POLL = 0.02


class PacketTrack(MediaStreamTrack):
    """A track whose frames are packets that are encoded already.

    Args:
        kind: "video" or "audio".
        take: gives the next packet of a kind, None if none waits; MediaStreamError at the end.
        on_end: called at the end.

    Attributes:
        tap: of the sender that sends the track.
        waiting: set when `take` is worth a try.
    """

    def __init__(
        self,
        kind: str,
        take: Callable[[str], av.Packet[Any] | None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__()
        self.kind = kind
        self.tap: SenderTap | None = None
        self.waiting = asyncio.Event()
        self._take = take
        self._on_end = on_end
        self._last: float | None = None

    async def recv(self) -> av.Packet[Any]:
        """The next packet; aiortc calls again when it has sent it."""
        assert self.tap is not None
        if self._last is not None:
            self.tap.sent(self._last)
        while self.tap.backlog() > MOST_BACKLOG:
            await asyncio.sleep(_BACKLOG_POLL)
        while True:
            self.waiting.clear()
            try:
                packet = self._take(self.kind)
            except MediaStreamError:
                self._on_end()
                raise
            if packet is not None:
                assert packet.pts is not None
                assert packet.time_base is not None
                self._last = float(packet.pts * packet.time_base)
                return packet
            await self.waiting.wait()


def is_of(codec: VideoCodec, packet: av.Packet[Any]) -> bool:
    """Whether a packet can be of a codec: Annex-B for H.264, a VP8 frame tag (RFC 6386, 9.1)."""
    head = bytes(memoryview(packet)[:10])
    annex_b = head.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01"))
    if codec == "h264" or annex_b:
        return codec == "h264" and annex_b
    is_key = not head[0] & 1
    return head[3:6] == b"\x9d\x01\x2a" if is_key else True
