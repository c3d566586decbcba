"""The program's own moving scene, with its tune, as a source that never ends."""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.demo import RATE, draw, melody
from streamfx.frames import Color, Frame
from streamfx.live.encoders import AUDIO_RATE
from streamfx.live.sources import ThreadedSource
from streamfx.live.stream import LiveStream

_SIZE = (640, 360)  # where the stream has no size of its own: it is drawn while it runs
_COARSE = 4
_TUNE = 28  # seconds: four times the melody, seven chords
_BT601 = Color(matrix=6, range=1, primaries=1, transfer=1)  # what OpenCV's conversion makes


class DemoSource(ThreadedSource):
    """Draws the scene in real time, 30 pictures a second, and pushes it into a stream.

    A picture that cannot be drawn in time is left out; the sound goes on.
    """

    def __init__(self, stream: LiveStream) -> None:
        super().__init__(f"{stream.name}-demo")
        self._stream = stream
        self._size = stream.settings.size or _SIZE

    def _run(self) -> None:
        sound = _tune()
        begin = time.monotonic()
        index = heard = 0
        while not self._stop.is_set():
            frame = scene(index / RATE, *self._size)
            due = begin + index / RATE
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._stream.push(frame, due)
            now = time.monotonic()
            # Every sample up to now; the stream holds the sound back until its picture is out.
            until = round((now - begin) * AUDIO_RATE)
            block = sound.take(range(heard, until), axis=0, mode="wrap")
            self._stream.push_audio(block, begin + heard / AUDIO_RATE)
            heard = until
            index = max(index + 1, round((now - begin) * RATE))


def scene(seconds: float, width: int, height: int) -> Frame:
    """The demo scene as a frame (BT.601, limited range); both sides are even."""
    rgb = draw(seconds, width, height, coarse=_COARSE)
    planes = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    y, chroma = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    return Frame(y, chroma[0], chroma[1], color=_BT601)


def _tune() -> NDArray[np.int16]:
    """The tune once, int16 [N, 2] at 48 kHz; it begins and ends in silence."""
    return np.ascontiguousarray((melody(_TUNE).T * 32767).clip(-32768, 32767).astype(np.int16))
