"""Frames of real clips for measuring: a few contiguous runs of each, at one width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from streamfx.color import frame_from_rgb, frame_to_rgb
from streamfx.errors import InputError

RGB = NDArray[np.uint8]

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
MAX_SEEK_FRAMES = 2000


@dataclass(frozen=True)
class Clip:
    """A clip's measured frames.

    Attributes:
        name: the file's name without its suffix.
        runs: contiguous frames from several places, each uint8 RGB [H, W, 3], H and W even.
    """

    name: str
    runs: tuple[tuple[RGB, ...], ...]


def as_video(rgb: RGB) -> RGB:
    """`rgb` with no more chroma detail than 4:2:0 video carries, so that all rows start alike."""
    return frame_to_rgb(frame_from_rgb(rgb))


def find_clips(paths: Iterable[Path]) -> list[Path]:
    """The video files among `paths` and in the folders among them, sorted within a folder.

    Raises:
        InputError: a path is missing, or there is no video at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"there is no file or folder {path}; name clips that exist")
    if not found:
        raise InputError(
            f"no clip found: expected files ending in {', '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return found


def read_clip(path: Path, width: int = 640, runs: int = 3, run_length: int = 8) -> Clip:
    """Decode `runs` runs of `run_length` frames, spread evenly over the clip, `width` wide.

    Raises:
        InputError: the file cannot be decoded or has fewer than two frames in a run.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            duration = (container.duration or 0) / av.time_base
            start = (container.start_time or 0) / av.time_base
            found = [
                _read_run(container, start + duration * (index + 0.5) / runs, width, run_length)
                for index in range(runs)
            ]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise InputError(f"cannot read video from {path}: {error}") from None
    if min(len(run) for run in found) < 2:
        raise InputError(f"{path} is too short to measure: give a clip of a second or more")
    return Clip(path.stem, tuple(found))


def _read_run(
    container: av.container.InputContainer, seconds: float, width: int, length: int
) -> tuple[RGB, ...]:
    frames: list[RGB] = []
    for frame in islice(frames_from(container, seconds), length):
        height = 2 * round(frame.height * width / frame.width / 2)
        rgb = frame.to_ndarray(width=width, height=height, format="rgb24", interpolation="AREA")
        frames.append(as_video(np.asarray(rgb, np.uint8)))
    return tuple(frames)


def frames_from(container: av.container.InputContainer, seconds: float) -> Iterator[av.VideoFrame]:
    """The frames from a time on; at most `MAX_SEEK_FRAMES` are decoded on the way to it."""
    container.seek(int(seconds * av.time_base))
    frames = container.decode(video=0)
    for frame in islice(frames, MAX_SEEK_FRAMES):
        if frame.time is None or frame.time >= seconds:
            yield frame
            yield from frames
            return
