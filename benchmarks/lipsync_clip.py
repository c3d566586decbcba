"""A clip of flashes and beeps, and when they come in what was made of it.

Times are in seconds of one clock for picture and sound, which a file's or a receiver's time
stamps give.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE, SOUND_RATE = 30, 48_000
WIDTH, HEIGHT = 640, 360
FLASH, BEEP = 0.1, 0.08  # seconds
_RISE = 30  # of the mean luma from one picture to the next: a flash begins
_LOUD = 0.1  # of full scale; the beep has 0.37
_APART = 0.4  # seconds: a beep further from a flash is not its own


def make_clip(path: Path, seconds: int) -> None:
    """A flash and a beep at every full second; PCM, so that no encoder moves the sound."""
    ramp = np.linspace(20, 60, WIDTH, dtype=np.float32)[None, :, None]
    dark = np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    white = np.full_like(dark, 235)
    time_of = np.arange(SOUND_RATE) / SOUND_RATE
    tone = np.where(time_of < BEEP, np.sin(2 * np.pi * 1000 * time_of), 0) * 12_000
    second = np.repeat(tone.astype(np.int16), 2)[None]
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", RATE, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("pcm_s16le", SOUND_RATE, layout="stereo")
        for index in range(seconds * RATE):
            picture = white if index % RATE < FLASH * RATE else dark
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if index % RATE == 0:
                sound = av.AudioFrame.from_ndarray(second, "s16", "stereo")
                sound.sample_rate = SOUND_RATE
                sound.pts = index // RATE * SOUND_RATE
                sound.time_base = Fraction(1, SOUND_RATE)
                container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


class Flashes:
    """Finds where pictures become light.

    Attributes:
        times: of the first picture of each flash.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self._before = 255.0

    def see(self, luma: NDArray[np.uint8], when: float) -> bool:
        """Take the next picture; whether a flash begins with it."""
        light = float(luma[::8, ::8].mean())
        begins = light > self._before + _RISE
        if begins:
            self.times.append(when)
        self._before = light
        return begins


class Beeps:
    """Finds where sound becomes loud after a pause.

    Attributes:
        times: of the first loud sample of each beep.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self._loud_until = float("-inf")

    def hear(self, samples: NDArray[np.floating], when: float) -> None:
        """Take the next samples of one channel, -1..1 at 48 kHz, the first of them at `when`."""
        loud = when + np.flatnonzero(np.abs(samples) > _LOUD) / SOUND_RATE
        for time in loud.tolist():
            if time - self._loud_until > _APART:
                self.times.append(time)
            self._loud_until = time


def offsets(
    flashes: Iterable[float], beeps: Iterable[float], first: float = float("-inf")
) -> list[float]:
    """Milliseconds from each flash to the beep next to it; those before `first` are left out."""
    heard = np.array(list(beeps))
    if not heard.size:
        return []
    shown = [flash for flash in flashes if flash >= first]
    found = [float(heard[np.abs(heard - flash).argmin()] - flash) for flash in shown]
    return [1000 * each for each in found if abs(each) < _APART]


def offsets_in(path: Path) -> list[float]:
    """The same of a file, as a player that keeps its time stamps would show it."""
    flashes, beeps = Flashes(), Beeps()
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
        for frame in file.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                flashes.see(frame.to_ndarray()[: frame.height], frame.time)
                continue
            for part in resampler.resample(frame):
                beeps.hear(part.to_ndarray()[0], part.time)
    return offsets(flashes.times, beeps.times)
