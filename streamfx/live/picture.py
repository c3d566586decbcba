"""Sizes of live pictures: fitting, letterboxing, halving, and the notice on a frozen one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from streamfx.errors import InputError
from streamfx.frames import Frame, Plane

Size = tuple[int, int]  # (width, height)

_MOST_PIXELS = 4096 * 2304
_SMALLEST = 16  # what the stylizer takes at least
_FULL_RANGE = 2
_NO_CHROMA = 128
_LEAST_BAR = 4  # pixels in all: less is no bar but rounding
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def check_planes(frame: Frame) -> None:
    """Hold a frame of any size against what a live stream takes.

    Raises:
        InputError: the planes are not those of an 8-bit 4:2:0 picture, or it is over 4096x2304.
    """
    height, width = frame.y.shape
    if height * width > _MOST_PIXELS:
        raise InputError(f"a live picture has at most 4096x2304 pixels, not {width}x{height}")
    half = ((height + 1) // 2, (width + 1) // 2)
    if (
        min(height, width) < 2
        or (frame.u.shape, frame.v.shape) != (half, half)
        or any(plane.dtype != np.uint8 for plane in (frame.y, frame.u, frame.v))
    ):
        raise InputError(
            "the planes of a frame are uint8, chroma has half the sides of luma, and luma has "
            f"at least 2 pixels a side; this one is {width}x{height}"
        )


def outgoing_size(width: int, height: int, most: Size) -> Size:
    """The size of a stream whose first frame is `width` x `height`, within `most`."""
    shrink = min(1.0, most[0] / width, most[1] / height)
    return _even(width * shrink, most[0], 32), _even(height * shrink, most[1], 32)


def fitted_size(width: int, height: int, size: Size) -> Size:
    """The largest even size of the shape `width` x `height` inside `size`; `size` itself where
    the bars would be 4 pixels or less."""
    scale = min(size[0] / width, size[1] / height)
    sides = [_even(s * scale, t, _SMALLEST) for s, t in zip((width, height), size, strict=True)]
    fitted = tuple(t if t - s <= _LEAST_BAR else s for s, t in zip(sides, size, strict=True))
    return fitted[0], fitted[1]


def scaled_size(size: Size, scale: float) -> Size:
    """`size` times `scale`, even, and large enough for the stylizer."""
    return _even(size[0] * scale, size[0], _SMALLEST), _even(size[1] * scale, size[1], _SMALLEST)


def resized(frame: Frame, size: Size) -> Frame:
    """The frame at another even size, plane by plane; the very frame where it has it."""
    width, height = size
    if (frame.width, frame.height) == size:
        return frame
    smaller = width * height < frame.width * frame.height
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR

    def plane(values: Plane, columns: int, rows: int) -> Plane:
        return np.asarray(cv2.resize(values, (columns, rows), interpolation=method), np.uint8)

    return replace(
        frame,
        y=plane(frame.y, width, height),
        u=plane(frame.u, width // 2, height // 2),
        v=plane(frame.v, width // 2, height // 2),
    )


def letterboxed(frame: Frame, size: Size) -> Frame:
    """The frame in the middle of a black picture of `size`; the very frame where it fills it."""
    width, height = size
    if (frame.width, frame.height) == size:
        return frame
    black = 0 if frame.color.range == _FULL_RANGE else 16
    left, top = (width - frame.width) // 4 * 2, (height - frame.height) // 4 * 2

    def plane(values: Plane, shape: tuple[int, int], place: tuple[int, int], fill: int) -> Plane:
        canvas = np.full(shape, fill, np.uint8)
        rows, columns = values.shape
        canvas[place[0] : place[0] + rows, place[1] : place[1] + columns] = values
        return canvas

    half = (height // 2, width // 2)
    return replace(
        frame,
        y=plane(frame.y, (height, width), (top, left), black),
        u=plane(frame.u, half, (top // 2, left // 2), _NO_CHROMA),
        v=plane(frame.v, half, (top // 2, left // 2), _NO_CHROMA),
    )


def half_size(size: Size) -> Size:
    """What the half-size rung sends of a picture of `size`."""
    return scaled_size(size, 0.5)


def with_notice(frame: Frame, text: str) -> Frame:
    """The frame at half its brightness, with a line of ASCII text in the middle."""
    black = 0 if frame.color.range == _FULL_RANGE else 16
    y = (frame.y.astype(np.int16) - black) // 2 + black
    luma = np.ascontiguousarray(y.astype(np.uint8))
    chroma = [
        ((plane.astype(np.int16) - _NO_CHROMA) // 2 + _NO_CHROMA).astype(np.uint8)
        for plane in (frame.u, frame.v)
    ]
    (unit, _), _ = cv2.getTextSize(text, _FONT, 1.0, 2)
    scale = 0.8 * frame.width / unit
    scale = min(scale, frame.height / 240)
    thickness = max(1, round(2 * scale))
    (across, along), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    corner = ((frame.width - across) // 2, (frame.height + along) // 2)
    cv2.putText(luma, text, corner, _FONT, scale, 235, thickness, cv2.LINE_AA)
    return replace(frame, y=luma, u=chroma[0], v=chroma[1])


def _even(side: float, most: int, least: int) -> int:
    return min(max(2 * round(side / 2), least), most)
