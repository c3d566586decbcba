"""Frames and packets into a video file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import cast

import av
import av.error
from av.video.stream import VideoStream

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.containers import CODECS, Container, Encoding
from streamfx.media.planes import video_frame
from streamfx.media.reader import Item, Packet, Reader
from streamfx.media.sizes import Shape
from streamfx.media.tracks import Say, add_tracks, copy_metadata, describe

_LEAST_TIMESCALE = 10_000
_MOST_TIMESCALE = 2**31 - 1


class Writer:
    """Writes one video file: the frames that it is given, and the reader's other streams.

    Timestamps stay as they are, to the precision of the container. After an exception the file
    is of no use.

    Args:
        path: the file; `container` says what it becomes, whatever its name.
        encoding: settled for the container.
        reader: where tags, tracks, chapters and timing come from.
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
        reader: Reader,
        *,
        say: Say,
    ) -> None:
        self.frames = 0
        self.pictures = 0
        self._codec = CODECS[encoding.codec or container.video[0]]
        self._durations: dict[int, int] = {}
        self._span = (0, 0)  # where display begins and ends
        self._first_dts: int | None = None
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
        self._video = self._add_picture(container, encoding, shape, reader)
        copy_metadata(reader.container, self._output, container, reader.shift)
        self._tracks = add_tracks(reader.container, reader.stream, self._output, container, say)
        try:
            self._output.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise StreamFXError(f"cannot begin the output: {_reason(error)}") from error

    def write(self, item: Item) -> None:
        """Write a frame, or a packet of one of the reader's other streams.

        Raises:
            StreamFXError: the encoder failed, or the disk did.
        """
        try:
            if isinstance(item, Frame):
                self._encode(item)
            elif (track := self._tracks.get(item.stream_index)) is not None:
                self._output.mux(list(track.write(item)))
        except (av.error.FFmpegError, OSError) as error:
            raise StreamFXError(f"cannot write the output: {_reason(error)}") from error

    def close(self) -> None:
        """Flush the encoders and finish the file.

        Raises:
            StreamFXError: as `write`, or a frame was lost on the way through the encoder.
        """
        try:
            packets = self._video.encode(None)
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

    def _encode(self, frame: Frame) -> None:
        self.frames += 1
        self._durations[frame.pts] = frame.duration
        begin = self._span[0] if self.frames > 1 else frame.pts
        self._span = (begin, frame.pts + frame.duration)
        self._mux(self._video.encode(video_frame(frame)))

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
        self, container: Container, encoding: Encoding, shape: Shape, reader: Reader
    ) -> VideoStream:
        codec, info = self._codec, reader.info
        options = {
            **dict(codec.options),
            "crf": str(encoding.crf),
            codec.preset_option: str(encoding.preset),
        }
        stream = cast(
            VideoStream,
            self._output.add_stream(codec.encoder, rate=info.rate, options=options),
        )
        context = stream.codec_context
        context.width, context.height = shape.width, shape.height
        context.pix_fmt = "yuv420p"
        context.time_base = info.time_base
        context.sample_aspect_ratio = shape.sample_aspect_ratio
        context.colorspace = info.color.matrix
        context.color_range = info.color.range
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        cores = os.cpu_count() or 1
        context.thread_count = min(16, cores if codec.parallel else max(1, cores // 4))
        if codec.tag and container.muxer in ("mp4", "mov"):
            context.codec_tag = codec.tag
        stream.time_base = info.time_base
        describe(stream, reader.stream)
        return stream


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
