"""Frames and packets into a video file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.containers import CODECS, Container, Encoding
from streamfx.media.planes import Stamped, video_frame
from streamfx.media.reader import Packet, Reader
from streamfx.media.sizes import Shape
from streamfx.media.tracks import Say, add_tracks, copy_metadata, describe

_LEAST_TIMESCALE = 10_000
_MOST_TIMESCALE = 2**31 - 1

F = TypeVar("F", bound=Stamped)
F_contra = TypeVar("F_contra", contravariant=True)


class Encoder(Protocol[F_contra]):
    """What encodes the frames of one video.

    Attributes:
        opened_by_frame: whether only the first frame brings all that opening it takes.
    """

    @property
    def opened_by_frame(self) -> bool: ...

    def add_to(self, output: OutputContainer, encoding: Encoding, rate: Fraction) -> VideoStream:
        """The stream that it fills, its size, times and tags still to be set; called once."""

    def encode(self, frame: F_contra) -> list[Packet]:
        """The packets that are ready."""

    def flush(self) -> list[Packet]:
        """The packets that are owed at the end."""


class CPUEncoder:
    """See `Encoder`: those of `CODECS`."""

    opened_by_frame = False

    def add_to(self, output: OutputContainer, encoding: Encoding, rate: Fraction) -> VideoStream:
        assert encoding.codec is not None
        codec = CODECS[encoding.codec]
        options = {
            **dict(codec.options),
            "crf": str(encoding.crf),
            codec.preset_option: str(encoding.preset),
        }
        stream = output.add_stream(codec.encoder, rate=rate, options=options)
        self._stream = cast(VideoStream, stream)
        context = self._stream.codec_context
        context.pix_fmt = "yuv420p"
        cores = os.cpu_count() or 1
        context.thread_count = min(16, cores if codec.parallel else max(1, cores // 4))
        return self._stream

    def encode(self, frame: Frame) -> list[Packet]:
        return self._stream.encode(video_frame(frame))

    def flush(self) -> list[Packet]:
        return self._stream.encode(None)


class Writer(Generic[F]):
    """Writes one video file: the frames that it is given, and the reader's other streams.

    Timestamps stay as they are, to the precision of the container. After an exception the file
    is of no use.

    Args:
        path: the file; `container` says what it becomes, whatever its name.
        encoding: settled for the container.
        reader: where tags, tracks, chapters and timing come from.
        encoder: of the frames.
        say: takes one sentence about every stream that is left out or changed.

    Attributes:
        frames: frames that were given so far.
        pictures: encoded pictures that were written so far; equal after `close`.

    Raises:
        InputError: the picture is too small for the codec.
        StreamFXError: the encoder cannot be opened, or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        container: Container,
        encoding: Encoding,
        shape: Shape,
        reader: Reader[F],
        encoder: Encoder[F],
        *,
        say: Say,
    ) -> None:
        self.frames = 0
        self.pictures = 0
        self._codec = CODECS[encoding.codec or container.video[0]]
        self._durations: dict[int, int] = {}
        self._span = (0, 0)  # where display begins and ends
        self._first_dts: int | None = None
        self._encoder = encoder
        # Packets before the first frame, where the file cannot begin without that; no more than
        # the reader has kept on its way to the first picture.
        self._early: list[Packet] | None = [] if encoder.opened_by_frame else None
        if min(shape.width, shape.height) < self._codec.smallest:
            raise InputError(
                f"{encoding.codec} takes pictures of at least {self._codec.smallest} pixels a "
                f"side, not {shape.width}x{shape.height}"
            )
        rates = [s.codec_context.sample_rate for s in reader.container.streams.audio]
        self._output = av.open(
            f"file:{path}",
            "w",
            format=container.muxer,
            options=_muxer(container, reader.info.time_base, filter(None, rates)),
        )
        self._add_picture(container, encoding, shape, reader)
        copy_metadata(reader.container, self._output, container, reader.shift)
        self._tracks = add_tracks(reader.container, reader.stream, self._output, container, say)
        if self._early is None:
            self._begin()

    def write(self, item: F | Packet) -> None:
        """Write a frame, or a packet of one of the reader's other streams.

        Raises:
            StreamFXError: the encoder failed, or the disk did.
        """
        try:
            if not isinstance(item, av.Packet):
                self._encode(item)
            elif self._early is not None:
                self._early.append(item)
            else:
                self._pass_on(item)
        except (av.error.FFmpegError, OSError) as error:
            raise StreamFXError(f"cannot write the output: {_reason(error)}") from error

    def close(self) -> None:
        """Flush the encoders and finish the file.

        Raises:
            StreamFXError: as `write`, or a frame was lost on the way through the encoder.
        """
        try:
            if self.frames:
                packets = self._encoder.flush()
                self._mux(packets[:-1])
                self._stretch(packets[-1:])
                self._mux(packets[-1:])
                for track in self._tracks.values():
                    self._output.mux(list(track.flush()))
            self._output.close()
        except (av.error.FFmpegError, OSError) as error:
            raise StreamFXError(f"cannot finish the output: {_reason(error)}") from error
        if self.pictures != self.frames:
            raise StreamFXError(
                f"the encoder was given {self.frames} frames and returned {self.pictures}"
            )

    def abandon(self) -> None:
        """Let go of a file that has failed."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._output.close()

    def _begin(self) -> None:
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise StreamFXError(f"cannot begin the output: {_reason(error)}") from error

    def _pass_on(self, packet: Packet) -> None:
        if (track := self._tracks.get(packet.stream_index)) is not None:
            self._output.mux(list(track.write(packet)))

    def _encode(self, frame: F) -> None:
        self.frames += 1
        self._durations[frame.pts] = frame.duration
        begin = self._span[0] if self.frames > 1 else frame.pts
        self._span = (begin, frame.pts + frame.duration)
        packets = self._encoder.encode(frame)
        if self._early is not None:
            early, self._early = self._early, None
            self._begin()
            for packet in early:
                self._pass_on(packet)
        self._mux(packets)

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.pictures += 1
            if self._first_dts is None:
                self._first_dts = packet.dts
            # Encoders drop the duration.
            packet.duration = self._durations.pop(packet.pts or 0, 0) or packet.duration
            self._output.mux_one(packet)

    def _stretch(self, last: list[Packet]) -> None:
        """Let the last packet in decoding order last until the last frame's end.

        MP4 adds up a track's length from the decoding times and this one's duration.
        """
        for packet in last:
            begin, end = self._span
            decoding = (packet.dts or 0) - (self._first_dts or 0)
            self._durations[packet.pts or 0] = max(1, end - begin - decoding)

    def _add_picture(
        self, container: Container, encoding: Encoding, shape: Shape, reader: Reader[F]
    ) -> None:
        codec, info = self._codec, reader.info
        stream = self._encoder.add_to(self._output, encoding, info.rate)
        context = stream.codec_context
        context.width, context.height = shape.width, shape.height
        context.time_base = info.time_base
        context.sample_aspect_ratio = shape.sample_aspect_ratio
        context.colorspace = info.color.matrix
        context.color_range = info.color.range
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        if codec.tag and container.muxer in ("mp4", "mov"):
            context.codec_tag = codec.tag
        stream.time_base = info.time_base
        describe(stream, reader.stream)


def _muxer(container: Container, time_base: Fraction, rates: Iterable[int]) -> dict[str, str]:
    """Options that keep timestamps exact."""
    if container.muxer not in ("mp4", "mov"):
        return {}
    scale = time_base.denominator
    while scale < _LEAST_TIMESCALE:
        scale *= 2
    scale = min(scale, _MOST_TIMESCALE)
    # The edit lists that hold the offsets of the tracks count in the movie's timescale, whose
    # default of a millisecond would move every frame.
    movie = lcm(scale, *rates)
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(scale),
        "movie_timescale": str(movie if movie <= _MOST_TIMESCALE else scale),
    }


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
