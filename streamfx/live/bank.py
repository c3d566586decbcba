"""The encoders of one stream: one for every target that somebody watches, none besides."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Set
from threading import Lock

import av.error

from streamfx.errors import InputError
from streamfx.frames import Frame
from streamfx.live.bitrate import is_worth_it
from streamfx.live.encoders import Packet, VideoEncoder
from streamfx.live.pacing import KeyFrameGate
from streamfx.live.picture import half_size, resized
from streamfx.live.rungs import Target

_RETRY_AFTER = 1.0  # seconds, when an encoder has failed

log = logging.getLogger(__name__)


class EncoderBank:
    """Opens, uses, renews and closes encoders; `encode` and `close` belong to one thread.

    Args:
        fps: the highest frame rate.
        on_failure: called when an encoder failed and its viewers missed a frame.
    """

    def __init__(self, fps: float, on_failure: Callable[[], None]) -> None:
        self._fps = fps
        self._on_failure = on_failure
        self._encoders: dict[Target, VideoEncoder] = {}
        self._opened: dict[Target, float] = {}
        self._failed: dict[Target, float] = {}
        self._gates: dict[Target, KeyFrameGate] = {}
        self._lock = Lock()  # for the gates, which any thread asks

    def ask_for_key_frame(self, target: Target) -> None:
        """The target's next frame but for those of the 250 ms after a key frame is one."""
        with self._lock:
            self._gates.setdefault(target, KeyFrameGate()).ask(time.monotonic())

    def next_key_frame(self) -> float | None:
        """The time.monotonic() at which the first key frame that was asked for may be made."""
        with self._lock:
            due = [gate.due_at for gate in self._gates.values() if gate.due_at is not None]
        return min(due, default=None)

    def encode(
        self, frame: Frame, pts: int, targets: Set[Target], rates: Mapping[Target, int]
    ) -> dict[Target, Packet]:
        """One packet for each of `targets`, but for encoders that fail.

        Args:
            pts: in 1/90000 s, rising.
            rates: bits a second wanted of each target.
        """
        now = time.monotonic()
        for gone in self._encoders.keys() - targets:
            del self._encoders[gone]
        with self._lock:
            for gone in self._gates.keys() - targets:
                del self._gates[gone]
        pictures = {"full": frame}
        packets: dict[Target, Packet] = {}
        # The full picture first: it is what most viewers wait for.
        for target in sorted(targets, key=lambda target: target.rung):
            if target.rung not in pictures:
                pictures[target.rung] = resized(frame, half_size((frame.width, frame.height)))
            packet = self._encode_one(target, pictures[target.rung], pts, rates[target], now)
            if packet is not None:
                packets[target] = packet
        return packets

    def close(self) -> None:
        """Free all encoders."""
        self._encoders.clear()

    def _encode_one(
        self, target: Target, picture: Frame, pts: int, rate: int, now: float
    ) -> Packet | None:
        if now - self._failed.get(target, float("-inf")) < _RETRY_AFTER:
            return None
        with self._lock:
            gate = self._gates.setdefault(target, KeyFrameGate())
            key = gate.is_due(now)
        try:
            encoder = self._encoder(target, picture, rate, now)
            packet = encoder.encode(picture, pts, key=key)
        except (av.error.FFmpegError, InputError) as error:
            log.warning("the %s encoder (%s size) failed: %s", *target, error)
            self._encoders.pop(target, None)
            self._failed[target] = now
            self._on_failure()
            return None
        if packet is not None and packet.is_keyframe:
            with self._lock:
                gate.made(now)
        return packet

    def _encoder(self, target: Target, picture: Frame, rate: int, now: float) -> VideoEncoder:
        encoder = self._encoders.get(target)
        size = (picture.width, picture.height)
        if (
            encoder is None
            or (encoder.size, encoder.color) != (size, picture.color)
            or is_worth_it(encoder.bitrate, rate, now - self._opened[target])
        ):
            encoder = VideoEncoder(target.codec, size, rate, self._fps, picture)
            self._encoders[target], self._opened[target] = encoder, now
        return encoder
