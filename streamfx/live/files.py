"""A file or a URL as a live source, played at its own speed."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.live.encoders import AUDIO_RATE
from streamfx.live.sources import ThreadedSource
from streamfx.live.stream import LiveStream
from streamfx.media.planes import Normalizer, color_of, orientation_of, planes_of
from streamfx.media.sizes import Shape
from streamfx.pipeline import run

Packet: TypeAlias = "av.Packet[Any]"

# Seconds that opening and each read may take; they also bound how long `stop` waits.
OPEN_TIMEOUT, READ_TIMEOUT = 10.0, 5.0
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_AHEAD = 6  # pictures in each of two queues: sound that a file holds after its picture is in time
_EARLY = 1.5  # seconds that sound is handed over before its time: a stream takes it up to 2 s early
_LATEST = 0.5  # seconds behind its clock before the clock is set anew
_JUMP = 10.0  # seconds: more than that between two pictures is no pause but another clock
_MOST_PIXELS = 8192 * 8192

log = logging.getLogger(__name__)


class FileClock:
    """Places the source's times, in seconds, one after the other and on time.monotonic()."""

    def __init__(self) -> None:
        self.end = 0.0  # where the latest picture ends, in seconds played
        self._base = 0.0  # where the time 0 of this round lies
        self._offset: float | None = None

    def begin_round(self) -> None:
        """The source begins again."""
        self._base = self.end

    def position(self, when: float, lasts: float) -> float:
        """Where a picture at `when` lies in the seconds played; a jump counts as no time."""
        position = self._base + when
        if self._offset is None:
            self._offset = time.monotonic() - position
        elif abs(position - self.end) > _JUMP:
            log.info("the source's time jumps by %.1f s", position - self.end)
            self._base += self.end - position
            position = self.end
        self.end = position + lasts
        return position

    def due(self, position: float) -> float:
        """When that is due, in time.monotonic(); the clock is set anew when it is far behind."""
        offset = self._offset or 0.0
        late = time.monotonic() - offset - position
        if late > _LATEST:
            log.info("the source is %.1f s behind; its clock goes on from now", late)
            self._offset = offset = offset + late
        return offset + position

    def captured(self, when: float) -> float | None:
        """`when` in time.monotonic(), for sound; None before the first picture."""
        return None if self._offset is None else self._offset + self._base + when


class FileSource(ThreadedSource):
    """Plays a file or a URL into a stream.

    Stopping takes as long as a read that is under way, 10 s at most.

    Args:
        url: a path, or a URL that FFmpeg opens.
        loop: whether it begins again when it ends.
        options: for FFmpeg's protocol and container, such as `protocol_whitelist`.
        on_end: called once from the source's thread, with None when it ended, or with the
            error that it ended by; not after `stop`.
    """

    def __init__(
        self,
        stream: LiveStream,
        url: str,
        *,
        loop: bool = False,
        options: Mapping[str, str] | None = None,
        on_end: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        super().__init__(f"{stream.name}-file")
        self._stream = stream
        self._url = url
        self._loop = loop
        self._options = dict(options or {})
        self._on_end = on_end

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._play_all()
        except StreamFXError as failure:
            error = failure
        except (av.error.FFmpegError, OSError, ValueError) as failure:
            error = StreamFXError(f"{_shown(self._url)} broke off: {_reason(failure)}")
        except Exception as failure:
            log.exception("playing %s failed", _shown(self._url))
            error = StreamFXError(f"{_shown(self._url)} cannot be played: {failure}")
        if not self._stop.is_set():
            self._on_end(error)

    def _play_all(self) -> None:
        clock = FileClock()
        while True:
            with open_container(self._url, self._options) as container:
                Player(self._stream, container, clock, self._stop, _shown(self._url)).play()
            if self._stop.is_set() or not self._loop:
                self._stop.wait(max(0.0, clock.due(clock.end) - time.monotonic()))
                return
            clock.begin_round()


class Clock(Protocol):
    """Places a source's times, in seconds, on time.monotonic().

    Attributes:
        end: where the latest picture ends, in seconds played.
    """

    end: float

    def position(self, when: float, lasts: float) -> float:
        """Where a picture at `when` lies in the seconds played."""

    def due(self, position: float) -> float:
        """The time.monotonic() of that."""

    def captured(self, when: float) -> float | None:
        """The time.monotonic() of sound at `when`; None before the first picture."""


class Taker(Protocol):
    """What takes a source's pictures and sound; see LiveStream."""

    def push(self, frame: Frame, captured: float) -> None: ...
    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None: ...


class Player:
    """Plays one opened container once, each picture when the clock says that it is due."""

    def __init__(
        self,
        stream: Taker,
        container: InputContainer,
        clock: Clock,
        stop: Event,
        shown: str,
    ) -> None:
        self._stream = stream
        self._container = container
        self._clock = clock
        self._stop = stop
        self._shown = shown
        self._video = _picture_stream(container, shown)
        self._audio = next((s for s in container.streams.audio if s.codec_context), None)
        self._video.codec_context.thread_type = "SLICE"  # frame threads add delay
        self._start = float(container.start_time or 0) / av.time_base
        self._normalizer = Normalizer((2, 2))  # sized by each picture
        self._resampler = AudioResampler(format="s16", layout="stereo", rate=AUDIO_RATE)
        self._step = float(1 / (self._video.guessed_rate or Fraction(30)))
        self._last = -self._step

    def play(self) -> None:
        """Until the end or `stop`.

        Raises:
            StreamFXError: not one picture could be decoded.
            av.error.FFmpegError: reading failed.
        """
        before = self._clock.end
        run(self._decoded(), self._frame, self._show, depth=_AHEAD)
        if self._clock.end == before and not self._stop.is_set():
            raise InputError(
                f"no picture of {self._shown} can be decoded: it is damaged or encrypted"
            )

    def _decoded(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Pictures, each with its place in the seconds played; sound goes out on the way."""
        wanted = [s for s in (self._video, self._audio) if s is not None]
        for packet in self._container.demux(wanted):
            if self._stop.is_set():
                return
            for item in _decode(packet):
                if isinstance(item, av.AudioFrame):
                    self._play_sound(item)
                elif isinstance(item, av.VideoFrame):
                    yield from map(self._placed, self._normalized(item))
        yield from map(self._placed, self._normalizer.flush())

    def _normalized(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        width, height = picture.width, picture.height
        if width * height > _MOST_PIXELS:
            raise InputError(f"a picture of {width}x{height} pixels is too large")
        aspect = self._video.sample_aspect_ratio or Fraction(1)
        if aspect > 0 and aspect != 1:
            square = Shape(width, height, aspect).square_pixels()
            width, height = square.width, square.height
        self._normalizer.size = (width, height)
        yield from self._normalizer.push(picture, self._video.time_base or Fraction(1, 90_000))

    def _placed(self, picture: av.VideoFrame) -> tuple[float, av.VideoFrame]:
        when = self._last + self._step
        if picture.pts is not None and picture.time_base is not None:
            when = float(picture.pts * picture.time_base) - self._start
        self._last = when
        lasts = float((picture.duration or 0) * (picture.time_base or 0)) or self._step
        return self._clock.position(when, lasts), picture

    def _frame(self, placed: tuple[float, av.VideoFrame]) -> tuple[float, Frame]:
        position, picture = placed
        y, u, v = planes_of(picture, orientation_of(picture))
        return position, Frame(y, u, v, color=color_of(picture))

    def _show(self, placed: tuple[float, Frame]) -> None:
        position, frame = placed
        due = self._clock.due(position)
        if not self._stop.wait(max(0.0, due - time.monotonic())):
            self._stream.push(frame, due)

    def _play_sound(self, sound: av.AudioFrame) -> None:
        for part in self._resampler.resample(sound):
            if part.pts is None or part.time_base is None:
                continue
            captured = self._clock.captured(float(part.pts * part.time_base) - self._start)
            if captured is not None:
                # A few pictures ahead may be many seconds, where one stands for long.
                early = captured - time.monotonic()
                if early < _JUMP:
                    self._stop.wait(max(0.0, early - _EARLY))
                samples = np.ascontiguousarray(part.to_ndarray().reshape(-1, 2), np.int16)
                self._stream.push_audio(samples, captured)


def open_container(
    url: str, options: Mapping[str, str], *, form: str | None = None
) -> InputContainer:
    """Open a path or a URL with FFmpeg.

    Args:
        form: FFmpeg's name of the format or of the device, where the name does not tell.

    Raises:
        InputError: it cannot be opened.
    """
    is_url = form is not None or _SCHEME.match(url) is not None
    if not is_url:
        options = {"protocol_whitelist": "file", **options}
    try:
        return av.open(
            url if is_url else f"file:{url}",
            format=form,
            options=dict(options),
            timeout=(OPEN_TIMEOUT, READ_TIMEOUT),
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{_shown(url)} cannot be opened: {_reason(error)}") from error


def _picture_stream(container: InputContainer, shown: str) -> VideoStream:
    found = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not found:
        raise InputError(f"{shown} holds no picture: there is nothing to restyle")
    stream = next((s for s in found if s.disposition & Disposition.default), found[0])
    if cast(Any, stream.codec_context) is None:
        raise InputError(f"{shown} is encoded in a way that no decoder here can read")
    return stream


def _decode(packet: Packet) -> Sequence[object]:
    """What a packet holds; nothing where it is damaged."""
    try:
        return packet.decode()
    except av.error.FFmpegError as error:
        log.debug("a packet cannot be decoded: %s", error)
        return ()


def _shown(url: str) -> str:
    """What a message calls the source: no password, no query, no folder."""
    if _SCHEME.match(url) is None:
        return repr(Path(url).name)
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the source"
    return repr(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl())


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
