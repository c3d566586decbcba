"""Side-by-side clips: several versions of the same frames in one H.264 file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np

from streamfx.color import frame_from_rgb
from streamfx.media.planes import video_frame

from .clips import RGB

RATE = 25
_QUALITY = {"crf": "18", "preset": "veryfast"}
_PAPER = 250


def beside(pictures: Sequence[RGB]) -> RGB:
    """Pictures of one size, uint8 RGB [H, W, 3], from left to right."""
    return np.concatenate(list(pictures), axis=1)


def encode_clip(frames: Sequence[RGB]) -> bytes:
    """An MP4 file that browsers play, 25 frames a second.

    Args:
        frames: uint8 RGB [H, W, 3] with even sides; smaller ones stand in the middle of the
            largest, so that clips of several shapes may follow each other.
    """
    height, width = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=RATE, options=_QUALITY)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, frame in enumerate(frames):
            planes = frame_from_rgb(_centred(frame, height, width))
            timed = replace(planes, pts=index, time_base=Fraction(1, RATE), duration=1)
            output.mux(stream.encode(video_frame(timed)))
        output.mux(stream.encode())
    return file.getvalue()


def _centred(frame: RGB, height: int, width: int) -> RGB:
    if frame.shape[:2] == (height, width):
        return frame
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    top, left = (height - frame.shape[0]) // 2, (width - frame.shape[1]) // 2
    paper[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return paper
