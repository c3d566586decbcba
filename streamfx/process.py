"""Restyling one recorded video or one picture, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from streamfx.device.frames import DeviceFrame
from streamfx.device.video import find_stages
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.containers import CODECS, Container, Encoding, container_of
from streamfx.media.decoding import Decoding, OnTheCPU
from streamfx.media.info import VideoInfo
from streamfx.media.landing import Landing
from streamfx.media.planes import Stamped
from streamfx.media.reader import Packet, Reader
from streamfx.media.sizes import Shape, WantedSize
from streamfx.media.writer import CPUEncoder, Writer
from streamfx.pictures import read_picture
from streamfx.pipeline import Stages, run
from streamfx.stylizer import Stylizer

PICTURES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
FindStages = Callable[[Stylizer, VideoInfo, Shape, Encoding, Encoding], Stages[DeviceFrame] | None]
F = TypeVar("F", bound=Stamped)

log = logging.getLogger(__name__)


class Restyler(Protocol):
    """What restyles: `streamfx.stylizer.Stylizer`, or anything of its kind."""

    def __call__(self, frame: Frame) -> Frame:
        """The restyled frame, of the same size and time."""

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The restyled still, uint8 RGB [H, W, 3] like the one that was given."""

    def reset(self) -> None:
        """Forget the last frame: another video follows."""


@dataclass(frozen=True)
class Settings:
    """How a job is done; the times are in seconds.

    Attributes:
        frames: "auto" keeps a video's frames on the GPU, from the decoder to the encoder, where
            that is possible; "cpu" never does.
    """

    encoding: Encoding = field(default_factory=Encoding)
    start: float = 0.0
    duration: float | None = None
    size: WantedSize | None = None
    frames: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.start < float("inf"):
            raise InputError(f"the start is a number of seconds from 0, not {self.start}")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise InputError(f"the duration is a number of seconds above 0, not {self.duration}")


class End(Enum):
    """How a job ended without an error."""

    DONE = "done"
    STOPPED = "stopped"
    CUT_OFF = "cut off"


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        end: whether the whole input was restyled, and if not, why.
        path: the file that was written: the wanted one when `end` is DONE, else the partial
            one; None where there was nothing to keep.
        frames: how many frames it holds.
        seconds: its length.
    """

    end: End
    path: Path | None
    frames: int
    seconds: float = 0.0


def quiet(_: str) -> None:
    """Says nothing."""


def process_video(
    source: Path,
    target: Path,
    restyler: Restyler,
    settings: Settings | None = None,
    *,
    say: Say = quiet,
    progress: Progress = lambda done, expected: None,
    stop: Event | None = None,
    on_the_gpu: FindStages = find_stages,
) -> Outcome:
    """Restyle every frame of the video `source` into `target`, whose name says the container.

    Sound, subtitles, chapters, tags and timing are kept as far as the container takes them.
    When `stop` is set, or the input turns out to be cut off, what there is is kept as
    `NAME.partial.EXT` and nothing appears under the final name.

    Where the frames can stay on the GPU they do; should that fail, that is said, and the CPU
    begins the file anew.

    Args:
        say: takes a sentence about each thing that is not kept as it was.
        progress: takes the frames done and the frames expected (0 = unknown).
        on_the_gpu: finds the stages for frames that stay there, if they can.

    Raises:
        InputError: the input, a setting or the name of the output cannot be used.
        StreamFXError: the job failed, or a frame was lost; nothing is left behind.
    """
    settings = settings or Settings()
    container = container_of(target)
    encoding = settings.encoding.settle(container)

    def opened(decoding: Decoding[F]) -> Reader[F]:
        start, duration = settings.start, settings.duration
        return Reader(source, decoding, start=start, duration=duration, say=say, stop=stop)

    with opened(OnTheCPU()) as reader, Landing(target) as landing:
        for note in reader.notes:
            say(note)
        shape = _shape(reader, settings.size, container, encoding, say)
        job = _Job(landing, container, encoding, shape, say, progress)
        if settings.frames == "auto" and isinstance(restyler, Stylizer):
            stages = None
            try:
                stages = on_the_gpu(restyler, reader.info, shape, settings.encoding, encoding)
                if stages is not None:
                    with opened(stages.decoding) as other:
                        return job.run(other, stages)
            except Exception as error:  # whatever a device raises, the CPU can do the job
                log.debug("on the GPU", exc_info=True)
                say(f"frames cannot stay on the GPU, and the CPU begins anew: {error}")
            finally:
                if stages is not None:
                    stages.close()
        restyler.reset()
        return job.run(reader, Stages(OnTheCPU(), restyler, CPUEncoder()))


@dataclass(frozen=True)
class _Job:
    """What is the same wherever the frames lie."""

    landing: Landing
    container: Container
    encoding: Encoding
    shape: Shape
    say: Say
    progress: Progress

    def run(self, reader: Reader[F], stages: Stages[F]) -> Outcome:
        """Decode, restyle and write the file; see `process_video`."""
        landing = self.landing
        writer: Writer[F] = Writer(
            landing.working,
            self.container,
            self.encoding,
            self.shape,
            reader,
            stages.encoder,
            say=self.say,
        )
        end_of_last = 0.0

        def restyle(item: F | Packet) -> F | Packet:
            return item if isinstance(item, av.Packet) else stages.restyle(item)

        def write(item: F | Packet) -> None:
            nonlocal end_of_last
            writer.write(item)
            if not isinstance(item, av.Packet):
                end_of_last = float((item.pts + item.duration) * item.time_base)
                self.progress(writer.frames, reader.info.frames)

        try:
            run(reader, restyle, write)
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        if writer.frames != reader.decoded:
            raise StreamFXError(f"{reader.decoded} frames came in and {writer.frames} went out")
        end = End.STOPPED if reader.stopped else End.CUT_OFF if reader.cut_off else End.DONE
        if not writer.frames:
            if end is End.DONE:
                raise InputError(
                    f"{str(reader.path)!r} has no frame in the time that was asked for"
                )
            return Outcome(end, None, 0)
        path = landing.land(None if end is End.DONE else partial_name(landing.target))
        return Outcome(end, path, writer.frames, end_of_last)


def process_picture(
    source: Path,
    target: Path,
    restyler: Restyler,
    settings: Settings | None = None,
    *,
    say: Say = quiet,
) -> Outcome:
    """Restyle the picture `source` into `target`, whose name says the format.

    EXIF orientation is applied, more than 8 bits are reduced, transparency lies on white.

    Raises:
        InputError: the input or the name of the output cannot be used.
        StreamFXError: the output cannot be written; nothing is left behind.
    """
    form = PICTURES.get(target.suffix.lower())
    if form is None:
        raise InputError(
            f"cannot write {str(target)!r}: a picture's name ends in {', '.join(PICTURES)}"
        )
    rgb = read_picture(source)
    with Image.open(source) as image:
        if image.has_transparency_data:
            say("transparency lies on white")
    size = settings.size if settings else None
    if size is not None:
        shape = size.of(Shape(rgb.shape[1], rgb.shape[0]))
        method = cv2.INTER_AREA if shape.width < rgb.shape[1] else cv2.INTER_CUBIC
        resized = cv2.resize(rgb, (shape.width, shape.height), interpolation=method)
        rgb = np.asarray(resized, np.uint8)
    restyler.reset()
    painted = Image.fromarray(restyler.picture(rgb))
    with Landing(target) as landing:
        try:
            # JPEG and WebP take the quality, 4:4:4 chroma where the format has the choice.
            painted.save(landing.working, form, quality=95, subsampling=0)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StreamFXError(f"cannot write {str(target)!r}: {reason}") from error
        return Outcome(End.DONE, landing.land(), 1)


def partial_name(target: Path) -> Path:
    """Where the part of a job that was not finished is kept."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def _shape(
    reader: Reader[Frame],
    size: WantedSize | None,
    container: Container,
    encoding: Encoding,
    say: Say,
) -> Shape:
    """The picture that goes out; tells the reader to scale where it differs from the input's."""
    info = reader.info
    stored = Shape(info.width, info.height, info.sample_aspect_ratio)
    shape = size.of(stored) if size else stored
    codec = CODECS[encoding.codec or container.video[0]]
    if shape.sample_aspect_ratio != 1 and not (container.shape or codec.shape):
        shape = shape.square_pixels()
        say(
            f"{container.muxer} with {encoding.codec} has no place for a sample aspect ratio: "
            f"the picture is scaled to {shape.width}x{shape.height} square pixels"
        )
    if (shape.width, shape.height) != (stored.width, stored.height):
        reader.scale_to = (shape.width, shape.height)
    return shape
