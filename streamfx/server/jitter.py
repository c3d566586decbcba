"""Puts a publisher's RTP packets in order and makes whole frames of them, from a key frame on.

Pure logic: the caller says what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CAPACITY = 512  # packets held back behind a missing one
MAX_MISORDER = 100  # an older packet than that means that the sender began a new sequence
KEY_FRAME_WAIT = 0.25  # seconds without a decodable frame before one is asked for
SOUND_WAIT = 0.06  # seconds that sound waits for a missing packet

_SEQUENCES = 1 << 16
# RFC 6184: parameter sets (7) stand before every point where decoding can start; 5 is an IDR.
_H264_KEY = re.compile(rb"\x00\x00\x00\x01[\x05\x07\x25\x27\x45\x47\x65\x67]")
_H264_SLICES = (1, 5)


@dataclass(frozen=True)
class Payload:
    """What one RTP packet carries, without the headers of the payload format.

    Attributes:
        codec: "H264", "VP8" or "opus".
        sequence, marker: as in the RTP header (RFC 3550).
        timestamp: that of the RTP header, unwrapped.
        data: Annex-B for H264; empty where a packet is padding alone.
        first: whether a picture can begin with it.
    """

    codec: str
    sequence: int
    timestamp: int
    marker: bool
    data: bytes
    first: bool = True


@dataclass(frozen=True)
class EncodedFrame:
    """A whole frame, ready to decode."""

    codec: str
    timestamp: int
    data: bytes


def begins_picture(codec: str, payload: bytes, data: bytes) -> bool:
    """Whether a picture can begin with a packet.

    `payload` is as it came, `data` without the payload format's headers. VP8 says it in its
    descriptor (RFC 7741 section 4.2: S set, partition 0). In H.264 it is anything but a slice
    that does not hold the first macroblock, or the middle of a unit.
    """
    if codec == "VP8":
        return bool(payload) and payload[0] & 0x17 == 0x10
    if codec == "H264":
        is_unit = len(data) > 5 and data.startswith(b"\x00\x00\x00\x01")
        return is_unit and (data[4] & 0x1F not in _H264_SLICES or data[5] >= 0x80)
    return True


def is_key_frame(codec: str, data: bytes) -> bool:
    """Whether decoding can start with a frame (RFC 7741 section 4.3; RFC 6184)."""
    if codec == "VP8":
        return bool(data) and not data[0] & 1
    if codec == "H264":
        return _H264_KEY.search(data) is not None
    return True


class FrameAssembler:
    """Frames of one track, in order.

    A frame is given out with its last packet: the one with the marker bit, or at the latest
    when the next frame begins. Packets of padding alone are skipped. A missing packet is waited
    for as long as its retransmission may take; then all is dropped up to the next key frame.
    Each packet of sound is a frame of its own and needs no key.

    Attributes:
        needs_key_frame: nothing is given out until a key frame comes.
        gaps: how often a missing packet was given up.
    """

    def __init__(self, *, video: bool) -> None:
        self.needs_key_frame = video
        self.gaps = 0
        self._video = video
        self._patience = KEY_FRAME_WAIT if video else SOUND_WAIT
        self._next: int | None = None
        self._held: dict[int, tuple[Payload, float]] = {}

    def push(self, payload: Payload, now: float) -> list[EncodedFrame]:
        """The frames that are whole with this packet; `now` in seconds, any origin."""
        if self._next is None:
            self._next = payload.sequence
        ahead = (payload.sequence - self._next) % _SEQUENCES
        if ahead >= _SEQUENCES // 2:
            if _SEQUENCES - ahead <= MAX_MISORDER:
                return []
            self._start_over(payload.sequence)
        elif ahead >= CAPACITY:
            self._start_over(payload.sequence)
        self._held[payload.sequence] = (payload, now)
        frames = list(self._whole_frames())
        while self._gave_up(now):
            frames += self._whole_frames()
        return frames

    def lose(self) -> None:
        """A frame was lost after it was given out: go on with a key frame."""
        self.needs_key_frame = self._video

    def _start_over(self, sequence: int) -> None:
        self._held.clear()
        self._next = sequence
        self.gaps += 1
        self.lose()

    def _whole_frames(self) -> Iterator[EncodedFrame]:
        while (run := self._run()) is not None:
            payloads, count = run
            self._drop(count)
            payloads = [payload for payload in payloads if payload.data]
            if payloads and (frame := self._frame(payloads)) is not None:
                yield frame

    def _run(self) -> tuple[list[Payload], int] | None:
        """The packets of the frame at the head, and how many they are; None = not whole yet."""
        assert self._next is not None
        payloads: list[Payload] = []
        while (held := self._held.get((self._next + len(payloads)) % _SEQUENCES)) is not None:
            payload, _ = held
            if payloads and payload.timestamp != payloads[0].timestamp:
                return payloads, len(payloads)
            payloads.append(payload)
            if payload.marker or not self._video or not payloads[0].data:
                return payloads, len(payloads)
        return None

    def _drop(self, count: int) -> None:
        assert self._next is not None
        for _ in range(count):
            self._held.pop(self._next, None)
            self._next = (self._next + 1) % _SEQUENCES

    def _frame(self, payloads: list[Payload]) -> EncodedFrame | None:
        head = payloads[0]
        data = b"".join(payload.data for payload in payloads)
        if self.needs_key_frame and not (head.first and is_key_frame(head.codec, data)):
            return None
        self.needs_key_frame = False
        return EncodedFrame(head.codec, head.timestamp, data)

    def _gave_up(self, now: float) -> bool:
        """Go past a missing packet that has been waited for long enough."""
        assert self._next is not None
        missing = self._next
        while missing in self._held:
            missing = (missing + 1) % _SEQUENCES
        later = [(s - self._next) % _SEQUENCES for s in self._held]
        beyond = [ahead for ahead in later if ahead > (missing - self._next) % _SEQUENCES]
        if not beyond:
            return False
        _, came = self._held[(self._next + min(beyond)) % _SEQUENCES]
        if now - came < self._patience:
            return False
        self._drop(min(beyond))
        self.gaps += 1
        self.lose()
        return True


class KeyFrameRequests:
    """Says when to ask for a key frame: after 250 ms without a frame, and as often again."""

    def __init__(self, now: float) -> None:
        self._frame = now
        self._request = float("-inf")

    def delivered(self, now: float) -> None:
        self._frame = now

    def due(self, now: float, *, at_once: bool = False) -> bool:
        """Whether to ask now; a caller who gets True asks.

        Args:
            at_once: a frame could not be decoded, so it is not worth waiting for the next.
        """
        last = self._request if at_once else max(self._request, self._frame)
        if now - last < KEY_FRAME_WAIT:
            return False
        self._request = now
        return True
