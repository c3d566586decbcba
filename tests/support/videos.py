"""Real video files, small and quick to make, and what is in one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from streamfx.frames import Frame

# Of a codec context: BT.709 throughout, and pixels that are not square.
TAGGED: dict[str, Any] = {
    "colorspace": 1,
    "color_range": 1,
    "color_primaries": 1,
    "color_trc": 1,
    "sample_aspect_ratio": Fraction(4, 3),
}

RATE = 30


class Inverter:
    """Restyles by inverting luma: a test can tell that every frame passed, and which one."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.resets = 0

    def __call__(self, frame: Frame) -> Frame:
        self.frames.append(frame)
        return replace(frame, y=255 - frame.y)

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return 255 - rgb

    def reset(self) -> None:
        self.resets += 1


def level(index: int) -> int:
    """The mean grey level of the left half of frame `index`."""
    return 40 + 8 * (index % 20)


def draw(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGB [H, W, 3]: on the left a grey that tells the frame's number, on the right a ramp."""
    rgb = np.full((height, width, 3), level(index), np.uint8)
    rgb[:, width // 2 :] = np.linspace(30, 220, height, dtype=np.uint8)[:, None, None]
    return rgb


def make_video(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    last: int = 1,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    sound: str | None = None,
    rotation: int = 0,
    context: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
    chapters: list[Any] | None = None,
    subtitles: Path | None = None,
    attachment: bytes | None = None,
    cover: bytes | None = None,
) -> Path:
    """Encode a moving test picture; `times` are the frames' pts, `last` the last one's duration."""
    width, height = size
    with av.open(str(path), "w", options=muxer or {}) as output:
        stream = output.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        for name, value in (context or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        output.metadata.update(metadata or {})
        if chapters:
            output.set_chapters(chapters)
        if attachment is not None:
            output.add_attachment("font.ttf", "font/ttf", attachment)
        audio = output.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        texts = av.open(str(subtitles)) if subtitles else None
        text = output.add_stream_from_template(texts.streams.subtitles[0]) if texts else None
        if text is not None:
            text.metadata["language"] = "eng"
        if texts:
            for packet in texts.demux():
                if packet.size:
                    packet.stream = text
                    output.mux(packet)
        if cover is not None:
            with av.open(io.BytesIO(cover)) as file:
                kept = output.add_stream_from_template(file.streams.video[0], opaque=True)
                kept.disposition = Disposition.attached_pic
                packet = next(file.demux())
            packet.stream, packet.pts, packet.dts = kept, 0, 0
            output.mux(packet)
        when = list(times) if times is not None else list(range(frames))
        heard = int(48_000 * when[0] * time_base)
        durations: dict[int, int] = {}
        for index, pts in enumerate(when):
            picture = av.VideoFrame.from_ndarray(draw(index, width, height), "rgb24")
            picture = picture.reformat(format=pix_fmt)
            picture.pts, picture.time_base = pts, time_base
            following = when[index + 1] if index + 1 < len(when) else pts + last
            durations[pts] = following - pts if following > pts else 1
            for packet in stream.encode(picture):
                packet.duration = durations[packet.pts]
                output.mux(packet)
            while audio is not None and heard < 48_000 * float(pts * time_base):
                output.mux(audio.encode(_tone(heard)))
                heard += 1024
        for packet in stream.encode(None):
            packet.duration = durations[packet.pts]
            output.mux(packet)
        if audio is not None:
            output.mux(audio.encode(None))
    return path


def _tone(start: int, count: int = 1024) -> av.AudioFrame:
    wave = 0.3 * np.sin(2 * np.pi * 440 * (start + np.arange(count)) / 48_000)
    frame = av.AudioFrame.from_ndarray(np.tile(wave.astype(np.float32), (2, 1)), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
    return frame


def make_sound(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48_000, layout="stereo")
        for start in range(0, 48_000, 1024):
            output.mux(stream.encode(_tone(start)))
        output.mux(stream.encode(None))
    return path


@dataclass
class Contents:
    """What a player finds in a file."""

    times: list[Fraction]
    lumas: list[NDArray[np.uint8]]
    sound: list[tuple[Fraction, bytes]]
    texts: list[tuple[Fraction, Fraction, bytes]]
    kinds: list[str]
    codecs: list[str]
    metadata: dict[str, str]
    languages: list[str | None]
    chapters: list[tuple[float, float, str]]
    attachments: list[bytes]
    length: Fraction | None
    aspect: Fraction
    color: tuple[int, int, int, int]
    rotation: int

    @property
    def levels(self) -> list[float]:
        """The mean grey of the left half of every frame."""
        return [float(y[:, : y.shape[1] // 2].mean()) for y in self.lumas]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.lumas[0].shape
        return width, height


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma as it is stored, whatever its range; other formats than 4:2:0 are converted."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        frame = frame.reformat(format="yuv420p")
    return np.asarray(frame.to_ndarray()[: frame.height, : frame.width], np.uint8)


def contents(path: Path) -> Contents:
    """Decode and list everything in a file, with the timestamps as they are."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        base = video.time_base
        frames = list(file.decode(video))
        first = frames[0]
        lumas = [_luma(f) for f in frames]
        found = Contents(
            times=[f.pts * base for f in frames],
            lumas=lumas,
            sound=[],
            texts=[],
            kinds=[s.type for s in file.streams],
            codecs=[s.codec_context.codec.canonical_name for s in file.streams if s.codec_context],
            metadata=dict(file.metadata),
            languages=[s.metadata.get("language") for s in file.streams],
            chapters=[
                (
                    float(c["start"] * c["time_base"]),
                    float(c["end"] * c["time_base"]),
                    c["metadata"].get("title", ""),
                )
                for c in file.chapters()
            ],
            attachments=[s.data for s in file.streams if s.type == "attachment"],
            length=None if video.duration is None else video.duration * base,
            aspect=video.sample_aspect_ratio or Fraction(1),
            color=(
                first.colorspace,
                2 if first.format.name == "yuvj420p" else first.color_range,
                first.color_primaries,
                first.color_trc,
            ),
            rotation=first.rotation,
        )
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.size and packet.stream.type == "audio":
                found.sound.append((packet.pts * packet.time_base, bytes(packet)))
            if packet.size and packet.stream.type == "subtitle":
                times = packet.pts * packet.time_base, packet.duration * packet.time_base
                found.texts.append((*times, bytes(packet)))
    return found
