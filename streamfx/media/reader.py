"""A video file as a sequence of frames and the packets of its other streams."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import av
import av.error
from av.stream import Disposition

from streamfx.errors import InputError
from streamfx.frames import Color
from streamfx.media.decoding import Decoding, Filter
from streamfx.media.info import VideoInfo, filters_of, notes_of
from streamfx.media.planes import HDR, Size, Stamped, color_of, orientation_of
from streamfx.media.probe import open_video, picture_stream

Packet: TypeAlias = "av.Packet[Any]"
F = TypeVar("F", bound=Stamped)

# Formats whose clock starts anywhere; the others' first timestamps mean what they say.
_BROADCAST = frozenset({"mpegts", "mpeg", "rtsp"})
# Formats that write their duration down, so that a shorter file is seen to be cut off.
_TELLING = frozenset({"mov", "matroska", "webm", "avi", "flv", "asf"})
_FIRST_FRAME_WITHIN = 2000  # packets
_CUT_OFF = 1.0  # seconds that may be missing at the end before the file counts as cut off
_MOST_PIXELS = 8192 * 8192


class Reader(Generic[F]):
    """Reads one video file; iterate it once.

    Items come in the order of the file, so a frame and the sound packets near it are
    neighbours. Frames have strictly rising `pts`. `info` is known from the start.

    Args:
        path: the file.
        decoding: makes the frames.
        start: seconds of the file to leave out; what is left then begins at 0.
        duration: seconds to read, None for the rest of the file.
        say: takes one sentence about anything that is not kept as it was.
        stop: when set, reading ends as if the file ended there.

    Attributes:
        scale_to: (width, height), both even, that frames are scaled to; set before iterating.
        notes: a sentence about each thing that is known from the start not to be kept.
        decoded: frames that came out so far.
        damaged: packets that could not be decoded so far.
        shift: seconds that are taken off every timestamp.
        cut_off: whether the file turned out to end before the duration that it states.
        stopped: whether reading ended because `stop` was set.

    Raises:
        InputError: the file is missing, empty, not a video, without a picture, encrypted or
            unreadable, or `start` lies beyond its end.
    """

    def __init__(
        self,
        path: Path,
        decoding: Decoding[F],
        *,
        start: float = 0.0,
        duration: float | None = None,
        say: Callable[[str], None] = lambda _: None,
        stop: Event | None = None,
    ) -> None:
        self.path = path
        self.scale_to: Size | None = None
        self.decoded = 0
        self.damaged = 0
        self.cut_off = False
        self.stopped = False
        self._decoding = decoding
        self._say = say
        self._stop = stop or Event()
        self._begun = start > 0
        self._length = duration
        self._retimed = 0
        self._last: tuple[int, int] | None = None  # pts and duration
        self._seen_end = 0.0
        self.container = open_video(path, decoding.hwaccel)
        try:
            self.stream = picture_stream(self.container, path)
            self.shift = self._seek(start)
            self._ahead: deque[Packet | av.VideoFrame] = deque()
            self._packets = self.container.demux()
            first = self._first_frame()
            self._orientation = orientation_of(first)
            self._stored = (first.width, first.height)
            self.info = self._describe(first)
        except BaseException:
            self.container.close()
            raise
        self.notes = tuple(notes_of(first, self.info))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.container.close()

    def __iter__(self) -> Iterator[F | Packet]:
        size = self.scale_to or self._stored
        if self.scale_to and self._orientation.transpose:
            size = (size[1], size[0])
        passed = self._decoding.filter(size)
        held: F | None = None
        step = 0
        for item in self._filtered(passed):
            if isinstance(item, av.Packet):
                yield item
                continue
            frame = self._frame(item)
            if held is not None:
                # Containers tell how long a frame lasts in decoding order; what counts is
                # when the next one is shown.
                held.duration = step = frame.pts - held.pts
                yield from self._within(held)
            held = frame
        if held is not None:
            held.duration = self._last_duration(held) or step
            yield from self._within(held)
        if passed.deinterlaced:
            self._say("the picture is interlaced and was deinterlaced, frame for frame")
        if self._retimed:
            self._say(f"{self._retimed} frames had no usable timestamp and follow the one before")
        if self.damaged:
            self._say(f"{self.damaged} damaged packets could not be decoded and were left out")

    def _filtered(self, passed: Filter) -> Iterator[Packet | av.VideoFrame]:
        for item in self._decoded():
            if isinstance(item, av.Packet):
                yield item
            else:
                yield from passed.push(item, self.info.time_base)
        yield from passed.flush()

    def _frame(self, picture: av.VideoFrame) -> F:
        base = self.info.time_base
        unit = picture.time_base or base
        pts = None if picture.pts is None else round(picture.pts * unit / base) - self._in(base)
        duration = round((picture.duration or 0) * unit / base)
        last = self._last
        if pts is None or (last is not None and pts <= last[0]):
            self._retimed += 1
            pts = 0 if last is None else last[0] + max(1, last[1] if pts is None else 1)
        self._last = (pts, duration)
        frame = self._decoding.frame(picture, self._orientation, pts, base)
        frame.duration = duration
        return frame

    def _within(self, frame: F) -> Iterator[F]:
        """The frame, unless it lies outside the time that was asked for."""
        base = frame.time_base
        if self._begun and frame.pts < 0:
            return
        if self._length is not None:
            if frame.pts * base >= self._length:
                return
            left = round((Fraction(self._length) - frame.pts * base) / base)
            frame.duration = min(frame.duration, max(1, left))
        self.decoded += 1
        yield frame

    def _last_duration(self, frame: F) -> int:
        """How long the last frame is shown: to the end of the stream, where that is known."""
        stream = self.stream
        if self.stopped or self.cut_off or not stream.duration:
            return frame.duration
        end = (stream.start_time or 0) + stream.duration - self._in(frame.time_base)
        return end - frame.pts if end > frame.pts else frame.duration

    def _decoded(self) -> Iterator[Packet | av.VideoFrame]:
        """Decoded pictures, as the decoder gives them, and the other streams' packets."""
        size = self._stored
        for item in self._items():
            if isinstance(item, av.VideoFrame) and (item.width, item.height) != size:
                size = (item.width, item.height)
                self._say(
                    f"the picture changes to {size[0]}x{size[1]} in mid-stream and is scaled "
                    f"to its first size"
                )
            yield item

    def _items(self) -> Iterator[Packet | av.VideoFrame]:
        while self._ahead:
            yield self._ahead.popleft()
        for packet in self._demuxed():
            if packet.stream is self.stream:
                yield from self._decode(packet)
            elif self._wanted(packet):
                yield packet

    def _demuxed(self) -> Iterator[Packet]:
        """Packets until the end of the file, of the wanted duration, or until `stop`."""
        while True:
            if self._stop.is_set():
                # The decoder is not drained: out of turn, it would give frames with holes.
                self.stopped = True
                return
            try:
                packet = next(self._packets)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError):
                self.cut_off = True
                yield from self._drain()
                return
            if packet.pts is not None and packet.time_base:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._seen_end = max(self._seen_end, end)
            if self._beyond(packet):
                yield from self._drain()
                return
            yield packet
        self.cut_off |= self._ends_early()

    def _drain(self) -> Iterator[Packet]:
        """The empty packet that makes the decoder give what it holds."""
        packet: Packet = av.Packet()
        packet.stream = self.stream
        packet.time_base = self.info.time_base
        yield packet

    def _decode(self, packet: Packet) -> list[av.VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._decoding.failed(error)
            self.damaged += 1
            return []

    def _beyond(self, packet: Packet) -> bool:
        """Whether a packet is so late that nothing wanted can follow it."""
        if self._length is None or packet.dts is None or not packet.time_base:
            return False
        # Streams are interleaved only roughly, and decoding order runs ahead of display.
        late = (packet.dts - self._in(packet.time_base)) * packet.time_base
        return late > self._length + 2

    def _wanted(self, packet: Packet) -> bool:
        """Move a packet of another stream onto the output's clock; False where it is cut."""
        if packet.stream.disposition & Disposition.attached_pic:
            packet.pts = packet.dts = 0
            return packet.size > 0
        if packet.pts is None and packet.dts is None:
            return False
        base = packet.time_base
        packet.pts = (packet.dts if packet.pts is None else packet.pts) or 0
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.pts -= self._in(base)
        packet.dts -= self._in(base)
        if self._begun and packet.pts < 0:
            return False
        return self._length is None or packet.pts * base < self._length

    def _in(self, time_base: Fraction) -> int:
        """What is taken off a timestamp in `time_base` units."""
        return round(self.shift / time_base)

    def _seek(self, start: float) -> Fraction:
        """Go to the key frame before `start`; the seconds that come off every timestamp."""
        began = Fraction(self.container.start_time or 0, av.time_base)
        if not start:
            return began if set(self.container.format.name.split(",")) & _BROADCAST else Fraction(0)
        wanted = began + Fraction(start).limit_denominator(1_000_000)
        length = self.container.duration
        if length and start * av.time_base >= length:
            raise InputError(
                f"{str(self.path)!r} is {length / av.time_base:.2f} s long: "
                f"there is nothing after {start:g} s"
            )
        self.container.seek(round(wanted * av.time_base))
        return wanted

    def _first_frame(self) -> av.VideoFrame:
        context = self.stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = min(4, os.cpu_count() or 1)
        tried = 0
        try:
            for packet in self._packets:
                if packet.stream is not self.stream:
                    if self._wanted(packet):
                        self._ahead.append(packet)
                    continue
                if packet.has_sidedata("encryption_info"):
                    raise InputError(f"{str(self.path)!r} is encrypted and cannot be read")
                tried += bool(packet.size)
                pictures = self._decode(packet)
                self._ahead.extend(pictures)
                if pictures:
                    return pictures[0]
                if tried > _FIRST_FRAME_WITHIN:
                    break
        except (av.error.FFmpegError, OSError):
            pass
        reason = "its video is damaged or encrypted" if tried else "it holds no pictures"
        raise InputError(f"no frame of {str(self.path)!r} can be decoded: {reason}")

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream = self.stream
        width, height = self._orientation.size(first.width, first.height)
        if width * height > _MOST_PIXELS:
            raise InputError(f"{str(self.path)!r} has {width}x{height} pixels, which is too many")
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if self._orientation.transpose:
            aspect = 1 / aspect
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        color = color_of(first)
        if first.color_trc in HDR:
            color = Color(1, 1, 1, 1)
        elif first.format.is_rgb:
            color = Color(1, 1, color.primaries, color.transfer)
        return VideoInfo(
            width=width + width % 2,
            height=height + height % 2,
            sample_aspect_ratio=aspect if aspect > 0 else Fraction(1),
            rate=rate,
            time_base=stream.time_base or Fraction(1, 90_000),
            frames=self._expected(rate),
            color=color,
            decoder=stream.codec_context.codec.name,
            filters=tuple(filters_of(first, self._orientation)),
        )

    def _expected(self, rate: Fraction) -> int:
        if self.stream.frames and not self._begun and self._length is None:
            return self.stream.frames
        if not self.container.duration:
            return 0
        left = self.container.duration / av.time_base
        if self._begun:
            left -= float(self.shift) - (self.container.start_time or 0) / av.time_base
        return round(min(left, self._length or left) * rate)

    def _ends_early(self) -> bool:
        names = set(self.container.format.name.split(","))
        if not self.container.duration or not names & _TELLING:
            return False
        stated = (self.container.duration + (self.container.start_time or 0)) / av.time_base
        return self._seen_end < stated - max(_CUT_OFF, 0.02 * stated)
