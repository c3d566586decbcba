"""A video frame on the GPU, and where such frames lie: NV12 surfaces out of a bounded pool."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from threading import Condition, RLock

import numpy as np

from streamfx.device.dlpack import Lent
from streamfx.engines.cuda import Cuda, DeviceArray, Memory
from streamfx.errors import EngineError
from streamfx.frames import Color

# Encoders take rows that begin at such addresses.
_ALIGNMENT = 256
# Surfaces of a pool: what waits between the stages, and what an encoder holds. NVENC's wrapper
# in FFmpeg keeps 64 addresses registered at most.
_MOST_SURFACES = 24
# Seconds after which an encoder that gives nothing back counts as stuck.
_PATIENCE = 10.0
_BYTE = np.dtype(np.uint8)

Size = tuple[int, int]


class Hold:
    """Keeps something in use until `release` is called, or this is forgotten."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self._finalizer = weakref.finalize(self, let_go)
        self._finalizer.atexit = False

    def release(self) -> None:
        """Let go; again does nothing."""
        self._finalizer()


@dataclass
class DeviceFrame:
    """One NV12 frame on the GPU; the counterpart of `streamfx.frames.Frame`.

    Whoever takes a frame over closes it. Its memory goes back to where it came from when the
    frame is closed and every consumer of `Surface.lend` has let go.

    Attributes:
        y: luma, uint8 [1, 1, H, W], pitched.
        uv: chroma, uint8 [1, H/2, W/2, 2], pitched; odd sides are halved downwards.
        hold: what keeps its memory.
        surface: where it lies, for an encoder to borrow; None where that is a decoder's.
        pts, time_base, duration, color: as in `Frame`.
    """

    y: DeviceArray
    uv: DeviceArray
    hold: Hold = field(repr=False)
    surface: Surface | None = None
    pts: int = 0
    time_base: Fraction = Fraction(1, 90_000)
    duration: int = 0
    color: Color = field(default_factory=Color)

    @property
    def height(self) -> int:
        return self.y.shape[2]

    @property
    def width(self) -> int:
        return self.y.shape[3]

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def close(self) -> None:
        """Let its memory go; closing again does nothing."""
        self.hold.release()


class Surface:
    """An NV12 picture in one piece of memory: luma, and chroma right below with the same pitch.

    NVENC is told one address and one pitch, and takes the chroma to follow the last row.

    Args:
        size: (height, width), both even.
        free: called each time that the last hold on it goes.
    """

    def __init__(self, cuda: Cuda, size: Size, free: Callable[[Surface], None]) -> None:
        height, width = size
        self.pitch = -(-width // _ALIGNMENT) * _ALIGNMENT
        self._memory = Memory(cuda, self.pitch * height * 3 // 2)
        self._device = cuda.device
        self._free = free
        # Reentrant: a hold that is forgotten may go while another is being taken.
        self._lock = RLock()
        self._holders: set[object] = set()
        address = int(self._memory.address)
        self.y = self._plane(address, (1, 1, height, width), width)
        self.uv = self._plane(address + self.pitch * height, (1, height // 2, width // 2, 2), width)

    def hold(self) -> Hold:
        """Keep it from being used again."""
        holder = object()

        def let_go() -> None:
            with self._lock:
                self._holders.discard(holder)
                unused = not self._holders
            if unused:
                self._free(self)

        with self._lock:
            self._holders.add(holder)
        return Hold(let_go)

    def lend(self) -> tuple[Lent, Lent]:
        """Its planes for DLPack, uint8 [H, W] and [H/2, W/2, 2]; every consumer holds it."""
        height, width = self.y.shape[2:]
        return (
            self._lent(self.y, (height, width), (self.pitch, 1)),
            self._lent(self.uv, (height // 2, width // 2, 2), (self.pitch, 2, 1)),
        )

    def _lent(self, plane: DeviceArray, shape: tuple[int, ...], strides: tuple[int, ...]) -> Lent:
        return Lent(plane.address, shape, strides, self._device, lambda: self.hold().release)

    def _plane(self, address: int, shape: tuple[int, ...], row: int) -> DeviceArray:
        return DeviceArray(address, shape, _BYTE, row, self.pitch, owner=self._memory)


class SurfacePool:
    """Surfaces of one size, used again as soon as nobody holds them; threads may share it.

    Args:
        size: (height, width), both even.
        limit: how many there are at most.
        patience: seconds to wait for one where all are held.

    Attributes:
        made: how many there are.
        waits: how often all were held.
    """

    def __init__(
        self, cuda: Cuda, size: Size, limit: int = _MOST_SURFACES, patience: float = _PATIENCE
    ) -> None:
        self.size = size
        self.made = 0
        self.waits = 0
        self._cuda = cuda
        self._limit = limit
        self._patience = patience
        self._free: deque[Surface] = deque()
        self._changed = Condition(RLock())

    def take(self) -> tuple[Surface, Hold]:
        """A surface that nobody else has, and the hold on it; what it shows is undefined.

        Raises:
            EngineError: the GPU's memory is full, or all surfaces stay held.
        """
        with self._changed:
            if not self._free and self.made < self._limit:
                surface = Surface(self._cuda, self.size, self._take_back)
                self.made += 1
                return surface, surface.hold()
            if not self._free:
                self.waits += 1
                if not self._changed.wait_for(lambda: self._free, self._patience):
                    raise EngineError(
                        f"the encoder has held all {self._limit} surfaces for "
                        f"{self._patience:g} seconds; let it delay fewer frames"
                    )
            surface = self._free.popleft()
            return surface, surface.hold()

    def _take_back(self, surface: Surface) -> None:
        with self._changed:
            self._free.append(surface)
            self._changed.notify()
