"""One live stream: frames in, restyled, encoded once for each codec and size, handed out."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from threading import Condition, Lock, Thread, current_thread

import numpy as np
from numpy.typing import NDArray

from streamfx.expressions import format_expression, parse_expression
from streamfx.frames import Frame
from streamfx.live.bank import EncoderBank
from streamfx.live.bitrate import Range
from streamfx.live.encoders import VIDEO_CLOCK
from streamfx.live.fade import Look
from streamfx.live.fanout import Fanout, Viewer
from streamfx.live.hold import Hold
from streamfx.live.pacing import FrameRateCap, plausible
from streamfx.live.picture import check_planes, outgoing_size, with_notice
from streamfx.live.policy import BitratePolicy
from streamfx.live.restyle import Restyler
from streamfx.live.rungs import Codec, Rung, Sound, Target
from streamfx.live.settings import Control, ControlChange, LiveSettings
from streamfx.live.shelf import StyleShelf
from streamfx.live.sound import SoundTrack
from streamfx.live.stats import NoObserver, Observer, State, StreamStats, Tally
from streamfx.stylizer import Load

NOTICE = "The sender is away. Waiting for it to return."

_TIME_BASE = Fraction(1, VIDEO_CLOCK)
_NOTICE_EVERY = 1.0  # seconds
_REPEAT_AFTER = 0.2  # seconds without a new frame, where somebody waits for a key frame
_LONGEST_DELAY = 1.0  # that sound is held back
_DELAYS = 31  # frames that the delay is the median of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Arrived:
    """A frame that waits to be restyled."""

    frame: Frame
    captured: float
    at: float


@dataclass(frozen=True)
class _Picture:
    """A picture to send: a new one, or the last one again (`captured` None)."""

    frame: Frame
    pts: int
    captured: float | None


@dataclass(frozen=True)
class _Sent:
    """The last picture that was sent, without a notice."""

    frame: Frame
    pts: int
    at: float
    noticed: bool


@dataclass(frozen=True, eq=False)
class _Tap:
    """Somebody who is handed restyled pictures."""

    take: Callable[[Frame], None]


class LiveStream:
    """One stream. Three threads: one restyles, one encodes pictures, one encodes sound.

    The stream's clock is `captured`, seconds of time.monotonic(), for pictures and sound. The
    latest frame wins: one that waits while a newer one comes is dropped and counted, and a
    frame is taken up only when the one before has gone on to the encoder. Nothing is encoded
    that nobody watches, and nothing restyled while nobody watches anything.

    Args:
        styles: where the expressions of the control are looked up.
        observer: takes every measurement as it is made.
        load: gives the engines; see `streamfx.stylizer.Stylizer`.

    Raises:
        InputError: the settings name a style that cannot be used.
    """

    def __init__(
        self,
        name: str,
        styles: StyleShelf,
        settings: LiveSettings,
        observer: Observer | None = None,
        load: Load | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._styles = styles
        self._tally = Tally(observer or NoObserver())
        code = styles.resolve(settings.style)
        expression = format_expression(parse_expression(settings.style))
        self._control = Control(
            expression,
            settings.strength,
            settings.enabled,
            settings.fade_ms,
            settings.audio_delay_ms,
        )
        self._code = code
        self._controlling = Lock()

        self._changed = Condition()  # guards the seven that follow
        self._waiting: _Arrived | None = None
        self._ready: _Picture | None = None
        self._aim: tuple[Look, float] | None = None
        self._paused = False
        self._connected = False
        self._closed = False
        self._size = settings.size
        self._latest: Frame | None = None
        self._cap = FrameRateCap(settings.fps)
        self._interval = 1 / settings.fps
        self._last_captured: float | None = None

        look = Look(code, self._control.shown_strength)
        self._taps: tuple[_Tap, ...] = ()  # replaced as a whole, as the viewers are
        self._restyler = Restyler(name, styles.pack, settings, look, self._tally, load)
        self._bank = EncoderBank(settings.fps, lambda: self._tally.drop("encoder"))
        self._fanout = Fanout(self._ask_for_key_frame, self._wake)
        limits = Range(settings.min_bitrate, settings.start_bitrate, settings.max_bitrate)
        self._hold = Hold(name, self._fanout.deliver)
        self._policy = BitratePolicy(self._fanout, self._bank, limits)
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._delay = 0.0
        self._sound = (
            SoundTrack(
                name,
                delay=lambda: self._delay,
                shift=lambda: self._control.sound_shift,
                wanted=self._fanout.sounds,
                deliver=self._fanout.deliver_sound,
                drop=lambda: self._tally.drop("sound_overflow"),
            )
            if settings.audio
            else None
        )
        self._threads = [
            Thread(target=self._work, args=(work,), name=f"{name}-{what}", daemon=True)
            for what, work in (("restyle", self._restyle_frames), ("encode", self._send_pictures))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def control(self) -> Control:
        """What is shown, or being faded to."""
        return self._control

    @property
    def latest(self) -> Frame | None:
        """The last frame that came in, not restyled; its planes are to be read, not changed."""
        return self._latest

    def push(self, frame: Frame, captured: float) -> None:
        """Take a frame that was captured then; never blocks, and any thread may call it.

        The planes belong to the stream from now on. A time over 2 s away from now is taken to
        be wrong, and replaced by now.

        Raises:
            InputError: the planes are not those of an 8-bit 4:2:0 picture.
        """
        check_planes(frame)
        now = time.monotonic()
        captured = min(plausible(captured, now), now)
        self._tally.count("frames_in")
        with self._changed:
            dropped = self._take(frame, captured, now)
            self._changed.notify_all()
        if dropped:
            self._tally.drop(dropped)

    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None:
        """Take sound, int16 [N, 2] at 48 kHz, whose first sample was captured then.

        It is handed out when the pictures captured with it are, and may come up to 2 s early.

        Raises:
            InputError: it has another shape or type.
        """
        if self._sound is not None and not self._closed:
            self._sound.push(samples, plausible(captured, time.monotonic()))

    def subscribe(self, codec: Codec, wake: Callable[[], None], sound: Sound = "opus") -> Viewer:
        """A new viewer, whose first picture is a key frame.

        Args:
            wake: called from a thread of the stream when something new waits, and at the end;
                it should return at once.
        """
        viewer = self._fanout.add(codec, wake, sound)
        if self._closed:
            self._fanout.close()
        return viewer

    def tap(self, take: Callable[[Frame], None]) -> Callable[[], None]:
        """Hand out restyled pictures before they are encoded, for what shows them here.

        Args:
            take: called with each one on a thread of the stream; it must return at once. The
                planes are to be read, not changed.

        Returns:
            What ends it; calling that again does nothing.
        """
        tap = _Tap(take)
        with self._changed:
            self._taps = (*self._taps, tap)
            self._changed.notify_all()

        def end() -> None:
            with self._changed:
                self._taps = tuple(each for each in self._taps if each is not tap)

        return end

    def set_control(self, change: ControlChange) -> Control:
        """Change what is shown from the next frame on, by a fade.

        Raises:
            InputError: the style is not on the shelf, or a number is out of range; nothing
                has changed then.
        """
        with self._controlling:
            control = change.of(self._control)
            if change.style is not None:
                code = self._styles.resolve(change.style)
                expression = format_expression(parse_expression(change.style))
                control = replace(control, style=expression)
                self._code = code
            self._control = control
            look = Look(self._code, control.shown_strength)
            with self._changed:
                self._aim = (look, control.fade_ms / 1000)
            return control

    def request_key_frame(self, codec: Codec, rung: Rung = "full") -> None:
        """Ask for a key frame; an encoder makes at most one in 250 ms on request."""
        self._ask_for_key_frame(Target(codec, rung))

    def publisher_left(self) -> None:
        """Show a notice on the last frame until `publisher_returned`; pushed frames are dropped."""
        with self._changed:
            self._connected, self._paused = False, True
            self._changed.notify_all()

    def publisher_returned(self) -> None:
        """Show what is pushed again."""
        with self._changed:
            self._connected, self._paused = True, False
            self._changed.notify_all()

    def stats(self) -> StreamStats:
        """What the stream has done and is doing."""
        video, audio = self._fanout.queued()
        latest = self._latest
        return self._tally.stats(
            state=self._state(),
            connected=self._connected,
            queued={
                "restyle": int(self._waiting is not None),
                "encode": int(self._ready is not None),
                "video": video,
                "audio": audio,
            },
            viewers=len(self._fanout.viewers),
            size_in=(latest.width, latest.height) if latest is not None else None,
            size_out=self._size,
            working_scale=self._restyler.scale,
            audio_delay=self._delay,
        )

    def close(self) -> None:
        """End the threads and tell the viewers; closing again does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._sound is not None:
            self._sound.close()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join()
        self._hold.close()
        self._fanout.close()

    def _state(self) -> State:
        if self._closed:
            return "closed"
        if self._latest is None:
            return "waiting"
        return "paused" if self._paused else "live"

    def _take(self, frame: Frame, captured: float, now: float) -> str | None:
        """Put a frame in its place; why one was dropped for it, if one was."""
        self._latest = frame
        if self._closed or self._paused:
            return "paused"
        self._connected = True
        if self._size is None:
            self._size = outgoing_size(frame.width, frame.height, self.settings.max_size)
        if not self._cap.admit(captured):
            return "fps_cap"
        if self._last_captured is not None:
            step = captured - self._last_captured
            if 0 < step < 0.5:
                self._interval += 0.1 * (max(step, 1 / self.settings.fps) - self._interval)
        self._last_captured = captured
        replaced, self._waiting = self._waiting, _Arrived(frame, captured, now)
        if replaced is None:
            return None
        return "superseded" if self._is_watched() else "unwatched"

    def _is_watched(self) -> bool:
        return self.settings.keep_warm or bool(self._fanout.viewers or self._taps)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _ask_for_key_frame(self, target: Target) -> None:
        self._bank.ask_for_key_frame(target)
        self._wake()

    def _work(self, work: Callable[[], None]) -> None:
        """A thread of the stream: an error that nobody foresaw ends the stream, seen by all."""
        try:
            work()
        except Exception:
            log.exception("%s: the stream ends", self.name)
            self.close()

    # The thread that restyles

    def _restyle_frames(self) -> None:
        self._prepare()
        while (arrived := self._next_arrived()) is not None:
            begun = time.monotonic()
            self._tally.measure("wait", begun - arrived.at)
            captured = plausible(arrived.captured, begun)  # it may have waited for a viewer
            pts = round(captured * VIDEO_CLOCK)
            stamped = replace(arrived.frame, pts=pts, time_base=_TIME_BASE, duration=0)
            assert self._size is not None
            shown = self._restyler(stamped, self._size, self._interval)
            self._tally.measure("restyle", time.monotonic() - begun)
            for tap in self._taps:
                tap.take(shown)
            with self._changed:
                self._ready = _Picture(shown, pts, captured)
                self._changed.notify_all()
        self._restyler.close()

    def _prepare(self) -> None:
        """Have the engines ready when the first viewer comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting is not None)
            first, size = self._waiting, self._size
        if first is not None and size is not None:
            self._restyler.prepare(first.frame, size)

    def _next_arrived(self) -> _Arrived | None:
        """The latest frame, once it is wanted and the one before has gone on; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or (self._waiting is not None and self._ready is None and self._is_watched())
                )
            )
            arrived, self._waiting = self._waiting, None
            if self._aim is not None:
                self._restyler.aim(*self._aim)
                self._aim = None
            return None if self._closed else arrived

    # The thread that encodes pictures

    def _send_pictures(self) -> None:
        sent: _Sent | None = None
        while (picture := self._next_picture(sent)) is not None:
            sent = self._send(picture, sent)
        self._bank.close()

    def _next_picture(self, sent: _Sent | None) -> _Picture | None:
        """The next picture: a restyled one, or the last one again when that is due."""
        with self._changed:
            while not self._closed:
                if self._ready is not None:
                    picture, self._ready = self._ready, None
                    self._changed.notify_all()
                    return picture
                now = time.monotonic()
                due = self._repeat_at(sent)
                if sent is not None and due is not None and due <= now:
                    pts = sent.pts + round((now - sent.at) * VIDEO_CLOCK)
                    return _Picture(sent.frame, pts, None)
                self._changed.wait(None if due is None else due - now)
        return None

    def _repeat_at(self, sent: _Sent | None) -> float | None:
        """When the last picture must be sent again if no other comes, in time.monotonic()."""
        if sent is None or self._waiting is not None or not self._fanout.viewers:
            return None
        times = []
        if self._paused:
            times.append(sent.at + (_NOTICE_EVERY if sent.noticed else 0))
        key_frame = self._bank.next_key_frame()
        if key_frame is not None:
            times.append(max(key_frame, sent.at) + _REPEAT_AFTER)
        return min(times, default=None)

    def _send(self, picture: _Picture, sent: _Sent | None) -> _Sent:
        begun = time.monotonic()
        paused = self._paused
        shown = with_notice(picture.frame, NOTICE) if paused else picture.frame
        held = self._control.picture_shift
        pts = picture.pts
        if picture.captured is not None:  # else it is as late as the one that is sent again
            pts += round(held * VIDEO_CLOCK)
        if sent is not None:
            pts = max(pts, sent.pts + 1)
        rates = self._policy.rates(begun)
        packets = self._bank.encode(shown, pts, self._fanout.targets(), rates)
        self._hold.put(packets, held)
        now = time.monotonic()
        if packets:
            self._tally.count("frames_out")
            self._tally.sent(packets)
            self._tally.measure("encode", now - begun)
        if packets and picture.captured is not None:
            self._tally.measure("delay", now - picture.captured)
            self._delays.append(now - picture.captured)
            self._delay = min(statistics.median(self._delays), _LONGEST_DELAY)
        return _Sent(picture.frame, pts, begun, paused)
