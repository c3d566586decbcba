"""Sound on its way to the viewers: held back as the picture is, encoded once for each codec."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Set
from operator import itemgetter
from threading import Condition, Thread, current_thread

import av.error
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.live.encoders import (
    AUDIO_RATE,
    OPUS_SAMPLES,
    SOUND_ENCODERS,
    AacEncoder,
    OpusEncoder,
    Packet,
)
from streamfx.live.rungs import Sound

Samples = NDArray[np.int16]

_MOST_QUEUED = 3 * AUDIO_RATE
_TOLERANCE = AUDIO_RATE // 50  # 20 ms of jitter in `captured` are no gap

log = logging.getLogger(__name__)


class Framer:
    """Cuts blocks of sound into frames of `size` samples on a rising clock. It reads no clock.

    A block within 20 ms of where the last one ended follows it; a later one begins a new
    frame, and of an earlier one the part that was there already is left out.
    """

    def __init__(self, size: int = OPUS_SAMPLES) -> None:
        self._size = size
        self._rest: Samples = np.empty((0, 2), np.int16)
        self._begin: int | None = None  # pts of the first sample of the rest

    def push(self, samples: Samples, captured: float) -> list[tuple[int, Samples]]:
        """The frames that are now whole: (pts in 1/48000 s, samples [size, 2])."""
        frames: list[tuple[int, Samples]] = []
        begin = round(captured * AUDIO_RATE)
        if self._begin is None:
            self._begin = begin
        error = begin - (self._begin + len(self._rest))
        if error > _TOLERANCE:
            if len(self._rest):
                missing = self._size - len(self._rest)
                frames.append((self._begin, np.pad(self._rest, ((0, missing), (0, 0)))))
            self._rest, self._begin = samples, begin
        else:
            overlap = -error if error < -_TOLERANCE else 0
            self._rest = np.concatenate([self._rest, samples[overlap:]])
        size = self._size
        whole = len(self._rest) // size * size
        for start in range(0, whole, size):
            frames.append((self._begin + start, self._rest[start : start + size]))
        self._rest = self._rest[whole:]
        self._begin += whole
        return frames


class SoundTrack:
    """A bounded queue of sound and the thread that empties it.

    Args:
        delay: seconds that the picture takes from capture to having been handed out.
        shift: seconds that the sound is to come later than it was captured, 0 to 2. Where it
            grows there is a gap; where it shrinks, that much of the sound is left out.
        wanted: the codecs that somebody hears; nothing else is encoded.
        deliver: takes each packet and its codec.
        drop: called for each block that is thrown away because 3 s wait, beside the shift.
    """

    def __init__(
        self,
        name: str,
        *,
        delay: Callable[[], float],
        shift: Callable[[], float] = lambda: 0.0,
        wanted: Callable[[], Set[Sound]],
        deliver: Callable[[Packet, Sound], None],
        drop: Callable[[], None],
    ) -> None:
        self._delay = delay
        self._shift = shift
        self._wanted = wanted
        self._deliver = deliver
        self._drop = drop
        self._blocks: deque[tuple[Samples, float]] = deque()
        self._queued = 0
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"{name}-sound", daemon=True)
        self._thread.start()

    def push(self, samples: Samples, captured: float) -> None:
        """Take sound, int16 [N, 2] at 48 kHz, whose first sample was captured then.

        Raises:
            InputError: it has another shape or type.
        """
        if samples.ndim != 2 or samples.shape[1] != 2 or samples.dtype != np.int16:
            raise InputError(
                f"sound is int16 [N, 2] at 48 kHz, not {samples.dtype} {list(samples.shape)}"
            )
        lost, shift = 0, self._shift()
        most = _MOST_QUEUED + round(shift * AUDIO_RATE)
        with self._changed:
            self._blocks.append((samples, captured + shift))
            self._queued += len(samples)
            while self._queued > most:
                self._queued -= len(self._blocks.popleft()[0])
                lost += 1
            self._changed.notify_all()
        for _ in range(lost):
            self._drop()

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._blocks.clear()
            self._changed.notify_all()
        if self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        coders = {codec: make() for codec, make in SOUND_ENCODERS.items()}
        framers = {codec: Framer(coder.samples) for codec, coder in coders.items()}
        while (block := self._next()) is not None:
            frames = [
                (pts, codec, samples)
                for codec, framer in framers.items()
                for pts, samples in framer.push(*block)
            ]
            for pts, codec, samples in sorted(frames, key=itemgetter(0)):
                if not self._wait_for_picture(pts / AUDIO_RATE):
                    return
                if codec in self._wanted():
                    self._encode(codec, coders[codec], samples, pts)

    def _encode(
        self, codec: Sound, coder: OpusEncoder | AacEncoder, samples: Samples, pts: int
    ) -> None:
        try:
            packets = coder.encode(samples, pts)
        except av.error.FFmpegError as error:
            log.warning("20 ms of sound cannot be encoded: %s", error)
            return
        for packet in packets:
            self._deliver(packet, codec)

    def _next(self) -> tuple[Samples, float] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._closed)
            if self._closed:
                return None
            samples, captured = self._blocks.popleft()
            self._queued -= len(samples)
            return samples, captured

    def _wait_for_picture(self, captured: float) -> bool:
        """Wait until a picture captured then would be handed out; False once closed."""
        with self._changed:
            while not self._closed:
                left = captured + self._delay() - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False
