"""Decoded pictures to `Frame` and back.

8-bit 4:2:0 planes pass as they are. Everything else (RGB, 4:2:2, 4:4:4, more bits, another
size, interlaced, HDR) goes once through a filter graph that makes such planes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, cast

import av
import av.error
import cv2
import numpy as np
from av.filter import Graph

from streamfx.frames import Color, Frame, Plane

NATIVE = ("yuv420p", "yuvj420p")
HDR = {16: "PQ", 18: "HLG"}
_FULL_RANGE = 2
# Matrices that a 4:2:0 encoder and its players take as they are: BT.709, FCC, BT.601 (two
# names), SMPTE 240M, BT.2020; 2 is unspecified. RGB, YCgCo and ICtCp become BT.709.
_MATRICES = (1, 2, 4, 5, 6, 7, 9)

Size = tuple[int, int]


@dataclass(frozen=True)
class Orientation:
    """How the stored picture is turned for display: transposed first, then mirrored."""

    transpose: bool = False
    hflip: bool = False
    vflip: bool = False

    def size(self, width: int, height: int) -> Size:
        """The displayed (width, height)."""
        return (height, width) if self.transpose else (width, height)

    def __call__(self, plane: Plane) -> Plane:
        turned = cast(Plane, cv2.transpose(plane)) if self.transpose else plane
        return turned[:: -1 if self.vflip else 1, :: -1 if self.hflip else 1]


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The orientation that the display matrix of a decoded picture asks for.

    The matrix (ISO/IEC 14496-12, 8.2.2) maps (x, y) to (a·x + c·y, b·x + d·y); a turn by
    anything but quarters is left alone, for no player shows it.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(cast(memoryview, matrix), np.int32)[:5].tolist()
    if not (b or c):
        return Orientation(False, a < 0, d < 0)
    if not (a or d):
        return Orientation(True, c < 0, b < 0)
    return Orientation()


class Normalizer:
    """Makes progressive 8-bit 4:2:0 pictures, in order, of whatever a decoder gives.

    The filter graph is made again when the input's format changes in mid-stream. From the
    first interlaced picture on, all pictures pass a deinterlacer that keeps their number.

    Attributes:
        size: (width, height) of the pictures that come out.
        deinterlaced: whether an interlaced picture has been seen.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.deinterlaced = False
        self._graph: Graph | None = None
        self._made_for: tuple[object, ...] = ()

    def push(self, frame: av.VideoFrame, time_base: Fraction) -> Iterator[av.VideoFrame]:
        """Pass a decoded picture in; the pictures that are ready come out."""
        self.deinterlaced |= frame.interlaced_frame
        form = (self.deinterlaced, frame.format.name, frame.width, frame.height, color_of(frame))
        if form != self._made_for:
            yield from self.flush()
            filters = self._filters(frame)
            self._graph = _graph(frame, time_base, filters) if filters else None
            self._made_for = form
        if self._graph is None:
            yield frame
        else:
            self._graph.vpush(frame)
            yield from _ready(self._graph)

    def flush(self) -> Iterator[av.VideoFrame]:
        """The pictures that the deinterlacer still holds."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from _ready(self._graph)
            self._graph = None
        self._made_for = ()

    def _filters(self, frame: av.VideoFrame) -> list[tuple[str, str]]:
        width, height = self.size
        filters = []
        if self.deinterlaced:
            filters.append(("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
        scale = f"w={width}:h={height}:flags=bicubic+accurate_rnd+full_chroma_int"
        if frame.color_trc in HDR:
            # libswscale's perceptual intent is a tone curve towards the target's white.
            scale += ":out_primaries=bt709:out_transfer=bt709:intent=perceptual"
            scale += ":out_color_matrix=bt709:out_range=limited"
        elif frame.format.is_rgb or frame.colorspace not in _MATRICES:
            scale += ":out_color_matrix=bt709:out_range=limited"
        elif frame.format.name in NATIVE and (frame.width, frame.height) == self.size:
            return filters
        return [*filters, ("scale", scale), ("format", "pix_fmts=yuv420p")]


def _graph(frame: av.VideoFrame, time_base: Fraction, filters: list[tuple[str, str]]) -> Graph:
    graph = Graph()
    node = graph.add(
        "buffer",
        f"width={frame.width}:height={frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base}:colorspace={frame.colorspace}:range={frame.color_range}",
    )
    for name, arguments in [*filters, ("buffersink", "")]:
        following = graph.add(name, arguments or None)
        node.link_to(following)
        node = following
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def color_of(frame: av.VideoFrame) -> Color:
    """The colour tags of a decoded picture."""
    full = frame.format.name.startswith("yuvj")
    return Color(
        matrix=frame.colorspace,
        range=_FULL_RANGE if full else frame.color_range,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
    )


def planes_of(frame: av.VideoFrame, orientation: Orientation) -> tuple[Plane, Plane, Plane]:
    """Upright (y, u, v) of an 8-bit 4:2:0 picture, C-contiguous, its sides made even.

    An odd side grows by one: luma's last row or column is repeated, chroma has it already.
    """
    y, u, v = (orientation(_array(plane)) for plane in frame.planes)
    height, width = y.shape
    if height % 2 or width % 2:
        y = np.pad(y, ((0, height % 2), (0, width % 2)), mode="edge")
    return np.ascontiguousarray(y), np.ascontiguousarray(u), np.ascontiguousarray(v)


def video_frame(frame: Frame) -> av.VideoFrame:
    """A picture for an encoder, with the time and the tags of `frame`; the planes are copied."""
    picture = av.VideoFrame(frame.width, frame.height, "yuv420p")
    for plane, values in zip(picture.planes, (frame.y, frame.u, frame.v), strict=True):
        _array(plane)[:] = values
    stamp(picture, frame)
    return picture


class Stamped(Protocol):
    """A frame's time and tags, see `streamfx.frames.Frame`."""

    pts: int
    time_base: Fraction
    duration: int
    color: Color


def stamp(picture: av.VideoFrame, frame: Stamped) -> None:
    """Give a picture for an encoder the time and the tags of `frame`."""
    picture.pts = frame.pts
    picture.time_base = frame.time_base
    picture.duration = frame.duration
    picture.colorspace = frame.color.matrix
    picture.color_range = frame.color.range
    picture.color_primaries = frame.color.primaries
    picture.color_trc = frame.color.transfer


def _array(plane: av.video.plane.VideoPlane) -> Plane:
    """The pixels of a plane [H, W], a view; rows may be padded, or stored from the bottom up."""
    pixels: Plane = np.frombuffer(cast(memoryview, plane), np.uint8)
    rows = pixels.reshape(plane.height, abs(plane.line_size))
    return rows[:: -1 if plane.line_size < 0 else 1, : plane.width]
