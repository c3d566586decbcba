"""The streams beside the picture: copied as they are where the container takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol, cast

import av
import av.error
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from streamfx.media.containers import Container
from streamfx.media.reader import Packet

Say = Callable[[str], None]

_TEXT = frozenset({"mov_text", "subrip", "ass", "webvtt", "text"})
_OPUS_RATE = 48_000
_BITS_PER_CHANNEL = 96_000
_MILLISECONDS = Fraction(1, 1000)
# What the muxers work out themselves; an old value would be wrong or be written twice.
_OWN_TAGS = ("DURATION", "ENCODER", "BPS", "NUMBER_OF_", "_STATISTICS", "ROTATE")
_OWN_FILE_TAGS = ("ENCODER", "MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS", "DURATION")


class Track(Protocol):
    """One stream on its way into the output."""

    def write(self, packet: Packet) -> Iterator[Packet]:
        """The output's packets for one of the input's, times in their own time base."""

    def flush(self) -> Iterator[Packet]:
        """What is still held back at the end."""


class Copied:
    """The packets themselves, byte for byte."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, packet: Packet) -> Iterator[Packet]:
        packet.stream = self._stream
        yield packet

    def flush(self) -> Iterator[Packet]:
        yield from ()


class Transcoded:
    """Sound that is decoded and encoded again; silence fills gaps in its timestamps."""

    def __init__(self, source: AudioStream, target: AudioStream) -> None:
        self._source = source
        self._target = target
        self._resampler = AudioResampler(
            format=target.codec_context.format,
            layout=target.codec_context.layout,
            rate=target.codec_context.sample_rate,
            options={"async": "1"},
        )

    def write(self, packet: Packet) -> Iterator[Packet]:
        try:
            frames = self._source.codec_context.decode(packet)
        except av.error.FFmpegError:
            return  # a damaged packet is a gap, and gaps are filled
        for frame in frames:
            for part in self._resampler.resample(frame):
                yield from self._target.encode(part)

    def flush(self) -> Iterator[Packet]:
        yield from self.write(cast(Packet, None))
        for part in self._resampler.resample(None):
            yield from self._target.encode(part)
        yield from self._target.encode(None)


class Retold:
    """Text subtitles in the container's own kind."""

    def __init__(self, source: SubtitleStream, target: SubtitleStream) -> None:
        self._source = source
        self._target = target

    def write(self, packet: Packet) -> Iterator[Packet]:
        try:
            lines = self._source.codec_context.decode2(packet)
            if lines is None:
                return
            told = self._target.codec_context.encode_subtitle(lines)
        except (av.error.FFmpegError, ValueError):
            return
        told.pts = told.dts = packet.pts
        told.duration = packet.duration
        told.time_base = packet.time_base
        told.stream = self._target
        yield told

    def flush(self) -> Iterator[Packet]:
        yield from ()


def add_tracks(
    source: InputContainer,
    picture: VideoStream,
    output: OutputContainer,
    container: Container,
    say: Say,
) -> dict[int, Track]:
    """Give `output` every stream of `source` but `picture`, as far as its container takes them.

    Returns:
        The track of every input stream that goes on, by its index.
    """
    tracks: dict[int, Track] = {}
    for stream in source.streams:
        if stream is picture:
            continue
        if isinstance(stream, AttachmentStream):
            _attach(stream, output, container, say)
        elif isinstance(stream, AudioStream):
            tracks[stream.index] = _sound(stream, output, container, say)
        elif isinstance(stream, SubtitleStream):
            track = _subtitles(stream, output, container, say)
            if track is not None:
                tracks[stream.index] = track
        elif isinstance(stream, VideoStream) and stream.disposition & Disposition.attached_pic:
            if container.covers:
                tracks[stream.index] = _copied(stream, output)
            else:
                say("the cover picture is left out: this container has no place for it")
        else:
            say(f"stream {stream.index} ({stream.type}) is left out")
    return tracks


def copy_metadata(
    source: InputContainer, output: OutputContainer, container: Container, shift: Fraction
) -> None:
    """Title, dates, tags and chapters; `shift` seconds are taken off the chapters' times."""
    output.metadata.update(
        {k: v for k, v in source.metadata.items() if not k.upper().startswith(_OWN_FILE_TAGS)}
    )
    chapters: list[dict[str, Any]] = []
    for chapter in source.chapters():
        base = chapter["time_base"] or _MILLISECONDS
        start, end = (round(chapter[k] - shift / base) for k in ("start", "end"))
        if end > 0:
            chapters.append({**chapter, "start": max(0, start), "end": end})
    if chapters and chapters[0]["start"] and container.text_encoder == "mov_text":
        # MP4's chapters are a track whose first one always begins at 0.
        gap = {"start": 0, "end": chapters[0]["start"], "metadata": {"title": ""}}
        chapters.insert(0, {**chapters[0], **gap})
    output.set_chapters(cast(Any, chapters))


def describe(stream: Stream, template: Stream) -> None:
    """Give an output stream the language, title, other tags and disposition of its input."""
    tags = {k: v for k, v in template.metadata.items() if not k.upper().startswith(_OWN_TAGS)}
    stream.metadata.update(tags)
    stream.disposition = template.disposition


def _codec(stream: Stream) -> str | None:
    context = stream.codec_context
    return None if context is None else str(context.codec.canonical_name)


def _copied(stream: Stream, output: OutputContainer) -> Copied:
    target = output.add_stream_from_template(stream, opaque=True)
    describe(target, stream)
    return Copied(target)


def _sound(stream: AudioStream, output: OutputContainer, container: Container, say: Say) -> Track:
    codec = _codec(stream)
    if codec in container.audio:
        return _copied(stream, output)
    context = stream.codec_context
    encoder = container.audio_encoder
    layout = context.layout.name if context.layout.nb_channels in (1, 2, 6, 8) else "stereo"
    layout = {6: "5.1", 8: "7.1"}.get(context.layout.nb_channels, layout)
    rate = _OPUS_RATE if encoder == "libopus" else context.sample_rate
    target = cast(
        AudioStream,
        output.add_stream(encoder, rate=rate, layout=layout),
    )
    target.codec_context.bit_rate = _BITS_PER_CHANNEL * target.codec_context.layout.nb_channels
    target.codec_context.time_base = Fraction(1, rate)
    describe(target, stream)
    say(f"the sound is {codec}, which {container.muxer} does not take; it becomes {encoder}")
    return Transcoded(stream, target)


def _subtitles(
    stream: SubtitleStream, output: OutputContainer, container: Container, say: Say
) -> Track | None:
    codec = _codec(stream)
    if codec in container.subtitles:
        return _copied(stream, output)
    if codec not in _TEXT or container.text_encoder is None:
        say(f"the {codec} subtitles are left out: {container.muxer} does not take them")
        return None
    target = cast(SubtitleStream, output.add_stream(container.text_encoder))
    target.time_base = _MILLISECONDS
    target.codec_context.time_base = _MILLISECONDS
    # The decoder's header holds the script's styles; every text encoder wants one.
    stream.codec_context.open()
    target.codec_context.subtitle_header = stream.codec_context.subtitle_header
    describe(target, stream)
    say(f"the {codec} subtitles become {container.text_encoder}")
    return Retold(stream, target)


def _attach(
    stream: AttachmentStream, output: OutputContainer, container: Container, say: Say
) -> None:
    name = stream.name or "attachment"
    if container.attachments:
        output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
    else:
        say(f"the attached file {name!r} is left out: {container.muxer} does not take it")
