"""The packets of one sink: what a viewer is given, with silence where there is no sound."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import Literal

import numpy as np

from streamfx.live.encoders import AAC_SAMPLES, AUDIO_RATE, VIDEO_CLOCK, AacEncoder
from streamfx.live.stream import LiveStream

KEY_EVERY = 2.0  # seconds: what streaming services ask for, and the length of an HLS segment
_LATE = 0.5  # seconds that sound may come after its picture before silence takes its place
_NEVER_HEARD = 0.1  # the same, where no sound has come for a while
_FORGOTTEN = 5.0  # seconds
_MOST_SILENCE = 100  # packets at a time


@dataclass(frozen=True)
class Item:
    """One packet.

    Attributes:
        kind: of what.
        data: H.264 in Annex B form, or AAC.
        pts: since the first picture, in 1/90000 s for pictures and 1/48000 s for sound; rising.
        is_key: whether a decoder can begin here.
    """

    kind: Literal["video", "audio"]
    data: bytes
    pts: int
    is_key: bool

    @property
    def time(self) -> float:
        """Seconds since the first picture."""
        return self.pts / (VIDEO_CLOCK if self.kind == "video" else AUDIO_RATE)


class Feed:
    """Takes H.264 and AAC from a stream for a sink; one thread reads it.

    The first item is a key frame, and so is one at least every 2 s. Sound is there throughout:
    streaming services refuse streams without it, and a container cannot add it later.

    Args:
        bitrate: that the sink wants, bits a second.
    """

    def __init__(self, stream: LiveStream, bitrate: int) -> None:
        self._woken = Event()
        self._base: float | None = None  # the stream's time of the first picture
        self._video = self._audio = -1  # pts of the last ones
        self._heard = float("-inf")
        self._pending: list[Item] = []
        self._asked_at = 0  # pts of the last key frame, or at which one was asked for
        self._viewer = stream.subscribe("h264", self._woken.set, "aac")
        self._viewer.report_bandwidth(bitrate)

    @property
    def dropped(self) -> int:
        """Packets that were left out because they were not read in time."""
        return self._viewer.dropped

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._viewer.closed and not self._pending and not any(self._viewer.queued)

    def wake(self) -> None:
        """Let a `next` that waits return."""
        self._woken.set()

    def next(self, timeout: float) -> Item | None:
        """The next item, None if none came in time or `wake` was called."""
        item = self._take()
        if item is None:
            self._woken.wait(timeout)
            self._woken.clear()
            item = self._take()
        return item

    def close(self) -> None:
        """Leave the stream."""
        self._viewer.close()

    def _take(self) -> Item | None:
        if self._pending:
            return self._pending.pop(0)
        item = self._sound() or self._picture()
        if item is not None and item.kind == "video":
            self._pending += self._silence(item.time)
        return item

    def _picture(self) -> Item | None:
        packet = self._viewer.next_video()
        if packet is None or packet.pts is None:
            return None
        if self._base is None:
            self._base = packet.pts / VIDEO_CLOCK
        pts = max(packet.pts - round(self._base * VIDEO_CLOCK), self._video + 1)
        self._video = pts
        # By the pictures' own clock, so that all sinks of a stream ask for the same one.
        if packet.is_keyframe:
            self._asked_at = pts
        elif pts - self._asked_at >= KEY_EVERY * VIDEO_CLOCK:
            self._asked_at = pts
            self._viewer.request_key_frame()
        return Item("video", bytes(packet), pts, packet.is_keyframe)

    def _sound(self) -> Item | None:
        if self._base is None:
            return None
        while (packet := self._viewer.next_audio()) is not None:
            self._heard = time.monotonic()
            pts = (packet.pts or 0) - round(self._base * AUDIO_RATE)
            if pts > self._audio + AAC_SAMPLES // 2 or (self._audio < 0 <= pts):
                self._audio = pts
                return Item("audio", bytes(packet), pts, True)
        return None

    def _silence(self, until: float) -> list[Item]:
        """What is missing of the sound up to a while before `until`, seconds."""
        recently = time.monotonic() - self._heard < _FORGOTTEN
        end = round((until - (_LATE if recently else _NEVER_HEARD)) * AUDIO_RATE)
        items: list[Item] = []
        while self._audio + 2 * AAC_SAMPLES <= end and len(items) < _MOST_SILENCE:
            self._audio = self._audio + AAC_SAMPLES if self._audio >= 0 else 0
            items.append(Item("audio", _silent_packet(), self._audio, True))
        return items


@cache
def _silent_packet() -> bytes:
    encoder, packets = AacEncoder(), []
    for index in range(8):
        packets += encoder.encode(np.zeros((AAC_SAMPLES, 2), np.int16), index * AAC_SAMPLES)
    return bytes(packets[-1])
