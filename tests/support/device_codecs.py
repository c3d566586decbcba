"""A decoder and an encoder in software, over the memory of `devices.Cuda`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from devices import DEVICE, RUBBISH, Cuda, Plane, bytes_at
from streamfx.device.dlpack import Lent
from streamfx.device.frames import Hold
from streamfx.engines.cuda import LEGACY_STREAM


class Decoder:
    """NVDEC as PyAV shows it: pictures in a few pitched surfaces, written when their turn comes.

    Args:
        surfaces: how many there are; one is written again when its picture has been let go.
        gap: bytes between the end of a row and the next one.

    Attributes:
        free: surfaces that no picture holds.
    """

    def __init__(self, cuda: Cuda, size: tuple[int, int], surfaces: int = 3, gap: int = 37) -> None:
        self._cuda = cuda
        self._size = size
        self._pitch = size[1] + size[1] % 2 + gap
        self._rows = -(-size[0] // 16) * 16  # as macroblocks are, so chroma begins further down
        self.free = [cuda.cudaMalloc(self._pitch * self._rows * 2)[1] for _ in range(surfaces)]

    def decode(self, y: Plane, uv: Plane, pts: int) -> SimpleNamespace:
        """A picture that will show `y` [H, W] and `uv` [H/2, W/2, 2]."""
        assert self.free, "the decoder has no surface left: somebody holds too many pictures"
        address = self.free.pop(0)
        assert address is not None
        height, width = self._size
        chroma = address + self._pitch * self._rows

        def work() -> None:
            for start, plane in ((address, y), (chroma, uv)):
                for row, line in enumerate(plane.reshape(plane.shape[0], -1)):
                    self._cuda.at(start + row * self._pitch, line.size)[:] = line

        self._cuda.enqueue(LEGACY_STREAM, work)
        holders: set[int] = {1, 2}

        def hold(plane: int) -> Callable[[], None]:
            def let_go() -> None:
                holders.discard(plane)
                if not holders:
                    self._cuda.finish(LEGACY_STREAM)
                    self._cuda.at(address, self._pitch * self._rows * 2)[:] = RUBBISH
                    self.free.append(address)

            return Hold(let_go).release

        shapes = ((height, width), (height // 2, width // 2, 2))
        strides = ((self._pitch, 1), (self._pitch, 2, 1))
        planes = [
            Lent(start, shape, stride, DEVICE, lambda number=number: hold(number))
            for number, start, shape, stride in zip(
                (1, 2), (address, chroma), shapes, strides, strict=True
            )
        ]
        return SimpleNamespace(
            format=SimpleNamespace(name="cuda"),
            sw_format=SimpleNamespace(name="nv12"),
            planes=planes,
            pts=pts,
            time_base=Fraction(1, 30),
            duration=1,
            interlaced_frame=False,
            rotation=0,
            colorspace=1,
            color_range=1,
            color_primaries=1,
            color_trc=1,
        )


class Encoder:
    """NVENC as PyAV drives it: it holds pictures and reads each when `holds` more have come.

    It is told one address and one pitch, as NVENC is. A packet is (pts, luma, chroma).
    """

    def __init__(self, holds: int = 3) -> None:
        self.held: deque[Any] = deque()
        self._holds = holds
        self.addresses: set[int] = set()
        self.width = self.height = 0

    def encode(self, picture: Any) -> list[tuple[int, Plane, Plane]]:
        if picture is not None:
            assert (picture.width, picture.height) == (self.width, self.height)
            self.held.append(picture)
        packets = []
        while self.held and (picture is None or len(self.held) > self._holds):
            packets.append(self._read(self.held.popleft()))
        return packets

    def _read(self, picture: Any) -> tuple[int, Plane, Plane]:
        luma = picture.planes[0]
        pitch, height, width = luma.line_size, picture.height, picture.width
        self.addresses.add(luma.buffer_ptr)
        rows = bytes_at(luma.buffer_ptr, pitch * height * 3 // 2).reshape(-1, pitch)[:, :width]
        return picture.pts, rows[:height].copy(), rows[height:].reshape(-1, width // 2, 2).copy()
