"""A short moving scene with sound, rendered here: something to restyle on any machine.

An evening by the sea: a sun with its glitter on the water, hills, a sailing boat on the swell,
gulls, and a portrait on an easel in front; the camera pans and comes closer. The same call
gives the same pictures and the same sound on every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import cos, pi, sin
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.media.landing import Landing

Picture = NDArray[np.uint8]
Rgb = tuple[int, int, int]

RATE = 30
_SOUND_RATE = 48_000
_SUBPIXEL = 4  # binary digits behind the point in the coordinates that OpenCV draws with
_BLOCK = 1024

# A pentatonic tune over slow chords: semitones above A3 and lengths in beats.
_BEAT = 0.5
_TUNE = ((0, 1), (3, 1), (5, 2), (7, 1), (10, 1), (7, 2), (5, 1), (3, 1), (5, 1), (0, 3))
_CHORDS = ((-12, 0, 3), (-17, -5, 0), (-14, -2, 5), (-12, 0, 7))


@dataclass(frozen=True)
class _View:
    """Scene coordinates to pixels: the scene is 2 high, y upwards, the camera looks at `x, y`."""

    width: int
    height: int
    x: float
    y: float
    zoom: float

    def at(self, x: float, y: float, depth: float = 1.0) -> tuple[float, float]:
        """Pixels of a point; what is far (a small depth) moves less with the camera."""
        scale = self.scale(depth)
        return (
            self.width / 2 + (x - self.x * depth) * scale,
            self.height / 2 - (y - self.y * depth) * scale,
        )

    def scale(self, depth: float = 1.0) -> float:
        """Pixels per unit."""
        return self.height / 2 * (1 + (self.zoom - 1) * depth)


def draw(time: float, width: int, height: int, *, coarse: int = 1) -> Picture:
    """The scene at `time` seconds, uint8 RGB [H, W, 3].

    It is drawn at twice the size and averaged down: smooth edges, and motion in fractions of
    a pixel. Sky and sea, which are soft and take most of the work, may be drawn `coarse` times
    smaller and enlarged.
    """
    pan, rise, zoom = 0.28 * sin(0.5 * time), 0.03 * sin(0.9 * time), 1.04 + 0.05 * sin(0.4 * time)
    view = _View(2 * width, 2 * height, pan, rise, zoom)
    soft = _sky_and_sea(_View(view.width // coarse, view.height // coarse, pan, rise, zoom), time)
    picture = np.asarray(cv2.resize(soft, (view.width, view.height)), np.uint8)
    _hills(picture, view)
    _boat(picture, view, time)
    _gulls(picture, view, time)
    _shore(picture, view)
    _easel(picture, view, time)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def frames(seconds: float, width: int, height: int) -> Iterator[Picture]:
    """The scene's pictures at 30 a second."""
    for index in range(round(seconds * RATE)):
        yield draw(index / RATE, width, height)


def melody(seconds: float) -> NDArray[np.float32]:
    """The tune, float32 [2, samples] in -1..1, 48 kHz: plucked notes over a soft pad."""
    count = round(seconds * _SOUND_RATE)
    sound = np.zeros((2, count))
    begin = 0.0
    note = 0
    while begin < seconds:
        semitones, beats = _TUNE[note % len(_TUNE)]
        pan = 0.5 + 0.3 * sin(1.7 * note)
        _pluck(sound, begin, semitones, 1.6, 0.22 * np.array([1 - pan, pan]))
        begin += beats * _BEAT
        note += 1
    bar = 8 * _BEAT
    for index in range(int(seconds / bar) + 1):
        for semitones in _CHORDS[index % len(_CHORDS)]:
            _pad(sound, index * bar, semitones, bar)
    fade = np.clip(np.minimum(np.arange(count), count - np.arange(count)) / 4800, 0, 1)
    return (sound * fade).astype(np.float32)


def render(path: Path, *, seconds: float = 6.0, width: int = 1280, height: int = 720) -> None:
    """Write the scene as H.264 and AAC; the file appears when it is whole.

    Raises:
        InputError: the size is odd or below 32 pixels, or the length is not in 0.1..600 s.
        StreamFXError: the file cannot be written.
    """
    if width % 2 or height % 2 or min(width, height) < 32 or max(width, height) > 4096:
        raise InputError(f"the scene has even sides from 32 to 4096 pixels, not {width}x{height}")
    if not 0.1 <= seconds <= 600:
        raise InputError(f"the scene lasts from 0.1 to 600 seconds, not {seconds:g}")
    with Landing(path) as landing:
        try:
            _write(landing.working, seconds, width, height)
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StreamFXError(f"cannot write {str(path)!r}: {reason}") from error
        landing.land()


def _write(path: Path, seconds: float, width: int, height: int) -> None:
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as output:
        output.metadata["title"] = "StreamFX demo scene"
        video = output.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        context = video.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, RATE)
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        audio = output.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
        audio.codec_context.bit_rate = 160_000
        sound = melody(seconds)
        heard = 0
        for index, picture in enumerate(frames(seconds, width, height)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(video.encode(frame))
            while heard < min(sound.shape[1], (index + 1) * _SOUND_RATE // RATE):
                block = np.ascontiguousarray(sound[:, heard : heard + _BLOCK])
                samples = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                samples.sample_rate, samples.pts = _SOUND_RATE, heard
                samples.time_base = Fraction(1, _SOUND_RATE)
                output.mux(audio.encode(samples))
                heard += block.shape[1]
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def _sky_and_sea(view: _View, time: float) -> Picture:
    ys, xs = np.mgrid[0 : view.height, 0 : view.width].astype(np.float32)
    sun_x, sun_y = view.at(0.45, 0.42, 0.15)
    horizon = view.at(0, 0.05, 0.2)[1]
    up = np.clip((horizon - ys) / view.height, 0, 1)[..., None] * 1.6
    sky = (1 - up) * np.array([255, 176, 104]) + up * np.array([62, 104, 178])
    distance = np.hypot(xs - sun_x, ys - sun_y) / view.scale()
    sky += np.exp(-((distance / 0.45) ** 2))[..., None] * np.array([70, 50, 10])
    # Clouds are sums of waves that drift.
    u, v = (xs - sun_x) / view.scale(), (ys - horizon) / view.scale()
    cloud = (
        np.sin(3.1 * u + 1.3 * np.sin(7 * v) - 0.10 * time)
        + np.sin(5.3 * u - 9 * v + 0.07 * time + 1.7)
        + 0.6 * np.sin(11 * u + 23 * v - 0.16 * time)
    )
    veil = np.clip((cloud - 0.7) * 0.45, 0, 0.75)[..., None]
    sky = sky * (1 - veil) + veil * np.array([255, 226, 206])
    disc = np.clip((0.115 - distance) * view.scale() / 2 + 0.5, 0, 1)[..., None]
    sky = sky * (1 - disc) + disc * np.array([255, 244, 200])
    # The sea: waves that shorten towards the horizon, and the sun's road on them.
    depth = np.clip((ys - horizon) / view.height, 1e-3, 1)
    near = depth[..., None] * 1.7
    sea = (1 - near) * np.array([196, 152, 128]) + near * np.array([18, 72, 106])
    phase = 3.2 / (depth + 0.03)
    swell = np.sin(phase + 2 * u / (depth + 0.1) + 1.5 * time) + np.sin(
        1.7 * phase - 3 * u / (depth + 0.15) + 2.1 * time
    )
    sea += (swell * 16 * np.clip(1.4 - depth, 0, 1))[..., None] * np.array([1.0, 1.05, 1.0])
    road = np.exp(-((u / (0.07 + 0.5 * depth)) ** 2)) * np.clip(swell - 0.2, 0, 2) * 0.75
    sea += road[..., None] * np.array([130, 96, 44])
    water = np.clip(ys - horizon + 0.5, 0, 1)[..., None]
    return np.asarray(np.clip(np.rint(sky * (1 - water) + sea * water), 0, 255), np.uint8)


def _hills(picture: Picture, view: _View) -> None:
    for depth, base, height, color, seed in (
        (0.25, 0.03, 0.22, (122, 112, 142), 1.0),
        (0.4, -0.02, 0.16, (74, 88, 98), 4.1),
    ):
        xs = np.linspace(-4, 4, 240)
        waves = ((0.5, 1.1, 1), (0.22, 2.9, 2), (0.06, 9.3, 1))
        shape = 0.4 + sum(gain * np.sin(rate * xs + k * seed) for gain, rate, k in waves)
        bay = 0.3 * np.exp(-((xs - 0.5) ** 2))
        ridge = base + height * np.clip(shape - bay, 0, None)
        points = [view.at(x, y, depth) for x, y in zip(xs, ridge, strict=True)]
        bottom = [view.at(4, base - 0.01, depth), view.at(-4, base - 0.01, depth)]
        _fill(picture, points + bottom, color)


def _boat(picture: Picture, view: _View, time: float) -> None:
    x, y = 0.9 * sin(0.16 * time - 0.9), -0.16 + 0.018 * sin(2.2 * time)
    tilt = 0.07 * sin(1.6 * time + 0.6)

    def at(dx: float, dy: float) -> tuple[float, float]:
        return view.at(
            x + dx * cos(tilt) - dy * sin(tilt), y + dx * sin(tilt) + dy * cos(tilt), 0.7
        )

    def mirrored(dx: float, dy: float) -> tuple[float, float]:
        return at(dx + 0.02 * sin(9 * dy + 5 * time), -0.03 - 0.55 * dy)

    for place, main, jib, hull in (
        (mirrored, (150, 132, 118), (146, 104, 88), (44, 50, 62)),
        (at, (250, 240, 218), (226, 118, 70), (112, 48, 38)),
    ):
        _fill(picture, [place(0.0, 0.05), place(0.0, 0.62), place(-0.26, 0.09)], main)
        _fill(picture, [place(0.025, 0.07), place(0.012, 0.54), place(0.2, 0.08)], jib)
        deck = [(-0.26, 0.03), (0.27, 0.04), (0.19, -0.05), (-0.2, -0.05)]
        _fill(picture, [place(*point) for point in deck], hull)
    _line(picture, [at(0.005, 0.0), at(0.005, 0.65)], (70, 44, 30), view.scale() * 0.012)
    _line(picture, [at(-0.255, 0.03), at(0.265, 0.04)], (240, 214, 160), view.scale() * 0.012)


def _gulls(picture: Picture, view: _View, time: float) -> None:
    for index in range(4):
        x = (1.6 + 0.42 * index + 0.16 * time * (1 + 0.2 * index)) % 5 - 2.5
        y = 0.62 + 0.07 * sin(1.3 * time + 2 * index) + 0.05 * index
        lift = 0.025 * sin(8 * time + 1.9 * index)
        half = [(0.075, lift + 0.012), (0.037, 0.02 + lift / 2)]
        points = [(-dx, dy) for dx, dy in half] + [(0.0, 0.0)] + half[::-1]
        place = [view.at(x + dx, y + dy, 0.5) for dx, dy in points]
        _line(picture, place, (52, 48, 62), view.scale() * 0.012)


def _shore(picture: Picture, view: _View) -> None:
    xs = np.linspace(-4, 4, 160)
    edge = -0.7 + 0.05 * np.sin(1.9 * xs) + 0.02 * np.sin(7 * xs)
    points = [view.at(x, y) for x, y in zip(xs, edge, strict=True)]
    corners = [view.at(4, -2), view.at(-4, -2)]
    _fill(picture, points + corners, (150, 122, 78))
    lower = [view.at(x, y - 0.05) for x, y in zip(xs, edge, strict=True)]
    _fill(picture, lower + corners, (92, 104, 52))
    # Grass: always the same blades, without a random number in sight.
    for index in range(150):
        x = -2.6 + 5.2 * ((index * 0.618034) % 1)
        root = -0.82 - 0.2 * ((index * 0.754877) % 1)
        lean = 0.05 * sin(2.4 * index)
        green = 96 + 12 * (index % 6)
        blade = [view.at(x, root), view.at(x + lean, root + 0.09 + 0.03 * (index % 3))]
        _line(picture, blade, (green - 40, green + 24, 40), view.scale() * 0.008)


def _easel(picture: Picture, view: _View, time: float) -> None:
    x, wood = 0.92, (104, 66, 40)
    for foot in (-0.3, 0.3):
        _line(picture, [view.at(x, 0.35), view.at(x + foot, -0.95)], wood, view.scale() * 0.035)
    _box(picture, view, (x - 0.3, -0.62, x + 0.3, 0.3), (196, 158, 84))
    _box(picture, view, (x - 0.26, -0.58, x + 0.26, 0.26), (64, 92, 92))
    turn = 0.012 * sin(1.1 * time)  # the sitter is alive
    skin, shade, hair = (232, 184, 150), (206, 148, 118), (58, 36, 28)

    def oval(dx: float, dy: float, rx: float, ry: float, color: Rgb) -> None:
        _oval(picture, view, (x + dx, dy, rx, ry), color)

    oval(0, -0.09, 0.155, 0.2, hair)
    oval(0, -0.3, 0.14, 0.12, hair)
    left = [(-0.21, -0.58), (-0.2, -0.48), (-0.08, -0.41)]
    shoulders = left + [(-dx, dy) for dx, dy in left[::-1]]
    _fill(picture, [view.at(x + dx, dy) for dx, dy in shoulders], (156, 44, 48))
    _box(picture, view, (x - 0.045, -0.43, x + 0.045, -0.28), shade)
    oval(turn, -0.15, 0.112, 0.155, skin)
    oval(turn + 0.05, -0.18, 0.045, 0.09, (222, 168, 136))
    oval(turn, 0.0, 0.115, 0.055, hair)
    blink = 0.004 if (time + 1) % 2.6 < 0.12 else 0.014
    for side in (-1, 1):
        oval(turn + 0.045 * side, -0.125, 0.024, blink, (250, 246, 240))
        oval(turn * 2 + 0.045 * side, -0.125, 0.011, min(blink, 0.012), (48, 62, 78))
        arch = ((0.022, -0.085), (0.048, -0.074), (0.074, -0.088))
        brow = [view.at(x + turn + dx * side, dy) for dx, dy in arch]
        _line(picture, brow, hair, view.scale() * 0.006)
        oval(turn + 0.066 * side, -0.19, 0.024, 0.018, (236, 160, 136))
    profile = ((0.0, -0.13), (0.014, -0.19), (-0.006, -0.195))
    nose = [view.at(x + turn + dx, dy) for dx, dy in profile]
    _line(picture, nose, shade, view.scale() * 0.008)
    lips = [view.at(x + turn + 0.036 * dx, -0.236 - 0.008 * (1 - dx * dx)) for dx in (-1, 0, 1)]
    _line(picture, lips, (178, 66, 70), view.scale() * 0.014)


def _fixed(points: list[tuple[float, float]]) -> NDArray[np.int32]:
    return np.asarray(np.rint(np.array(points) * (1 << _SUBPIXEL)), np.int32)


def _fill(picture: Picture, points: list[tuple[float, float]], color: Rgb) -> None:
    cv2.fillPoly(picture, [_fixed(points)], color, cv2.LINE_AA, _SUBPIXEL)


def _line(picture: Picture, points: list[tuple[float, float]], color: Rgb, width: float) -> None:
    cv2.polylines(
        picture, [_fixed(points)], False, color, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL
    )


def _box(
    picture: Picture, view: _View, sides: tuple[float, float, float, float], color: Rgb
) -> None:
    left, bottom, right, top = sides
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    _fill(picture, [view.at(*corner) for corner in corners], color)


def _oval(
    picture: Picture, view: _View, oval: tuple[float, float, float, float], color: Rgb
) -> None:
    x, y, across, along = oval
    turns = np.linspace(0, 2 * pi, 48, endpoint=False)
    _fill(picture, [view.at(x + across * cos(t), y + along * sin(t)) for t in turns], color)


def _frequency(semitones: int) -> float:
    return 220.0 * 2 ** (semitones / 12)


def _pluck(
    sound: NDArray[np.float64],
    begin: float,
    semitones: int,
    length: float,
    gains: NDArray[np.float64],
) -> None:
    first = round(begin * _SOUND_RATE)
    t = np.arange(min(round(length * _SOUND_RATE), sound.shape[1] - first)) / _SOUND_RATE
    tone = sum(
        np.sin(2 * pi * _frequency(semitones) * k * t) * np.exp(-(2.2 + 1.4 * k) * t) / k**1.3
        for k in range(1, 6)
    )
    attack = np.clip(t / 0.006, 0, 1)
    sound[:, first : first + t.size] += gains[:, None] * (tone * attack)


def _pad(sound: NDArray[np.float64], begin: float, semitones: int, length: float) -> None:
    first = round(begin * _SOUND_RATE)
    t = np.arange(min(round(length * _SOUND_RATE), sound.shape[1] - first)) / _SOUND_RATE
    swell = np.sin(pi * t / length) ** 2
    for channel, detune in enumerate((0.998, 1.002)):
        tone = np.sin(2 * pi * _frequency(semitones) * detune * t)
        sound[channel, first : first + t.size] += 0.05 * swell * tone
