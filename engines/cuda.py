"""A GPU's memory, streams and events, through `cuda.bindings.runtime`.

The module is a parameter, so that a double can stand in for it; every status is checked.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamfx.engines.base import Array
from streamfx.engines.errors import EngineError

MODULE = "cuda.bindings.runtime"
# The stream that libraries use which name none, FFmpeg's decoder among them.
LEGACY_STREAM = 1

_NON_BLOCKING = 1  # cudaStreamNonBlocking
_NO_TIMING = 2  # cudaEventDisableTiming

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeviceArray:
    """An array in a GPU's memory: rows of bytes that lie `pitch` apart.

    Attributes:
        address: of its first byte.
        shape, dtype: what it holds, in the words of `TensorSpec`.
        row_bytes: bytes of a row; the array is a whole number of them.
        pitch: bytes from one row to the next, `row_bytes` where it is dense.
        ready: what work that reads it has to wait for, if anything.
        lasting: its address comes again and again, so that an engine may bind to it.
        owner: keeps the memory.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    row_bytes: int
    pitch: int
    ready: Event | None = None
    lasting: bool = False
    owner: object = field(default=None, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes of what it holds, without the gaps between rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def rows(self) -> int:
        return self.nbytes // self.row_bytes


class Event:
    """A point in a stream's work that another stream can wait for."""

    def __init__(self, cuda: Cuda, stream: Any) -> None:
        (self.handle,) = cuda.call("EventCreateWithFlags", _NO_TIMING)
        # Destroying one that is still to come is allowed: it goes when it has been reached.
        weakref.finalize(self, cuda.dispose, "EventDestroy", self.handle).atexit = False
        cuda.call("EventRecord", self.handle, stream)


class Memory:
    """Bytes in the GPU's memory, freed with the last reference to this."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        (self.address,) = cuda.call("Malloc", size)
        self.size = size
        weakref.finalize(self, cuda.dispose, "Free", self.address).atexit = False


class Cuda:
    """CUDA's runtime with errors in place of statuses. Threads may share it.

    Args:
        runtime: the module `cuda.bindings.runtime`, or what stands in for it.
        device: (device type, device number) as DLPack counts; 2 is CUDA.
    """

    def __init__(self, runtime: Any, device: tuple[int, int] = (2, 0)) -> None:
        self.runtime = runtime
        self.device = device
        kinds = runtime.cudaMemcpyKind
        self._to_device = kinds.cudaMemcpyHostToDevice
        self._to_host = kinds.cudaMemcpyDeviceToHost
        self._inside = kinds.cudaMemcpyDeviceToDevice

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Call `cuda` + `name`; what it returns beside its status.

        Raises:
            EngineError: the status is not success.
        """
        status, *results = getattr(self.runtime, f"cuda{name}")(*arguments)
        if int(status) != 0:
            raise EngineError(f"cuda{name} failed: {getattr(status, 'name', status)}")
        return tuple(results)

    def dispose(self, name: str, handle: Any) -> None:
        """Call `cuda` + `name`, which gives something back; a failure is only logged."""
        try:
            self.call(name, handle)
        except EngineError as error:
            log.debug("%s", error)

    def create_stream(self) -> Any:
        """A stream that does not wait for the legacy one; `destroy_stream` gives it back."""
        (stream,) = self.call("StreamCreateWithFlags", _NON_BLOCKING)
        return stream

    def destroy_stream(self, stream: Any) -> None:
        self.dispose("StreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        """Wait until all work of a stream is done."""
        self.call("StreamSynchronize", stream)

    def record(self, stream: Any = LEGACY_STREAM) -> Event:
        """The end of what a stream has been given so far."""
        return Event(self, stream)

    def wait(self, stream: Any, event: Event | None) -> None:
        """Let further work of `stream` begin after `event`; the caller goes on at once."""
        if event is not None:
            self.call("StreamWaitEvent", stream, event.handle, 0)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """A dense array of its own memory, lasting, filled with zeros."""
        size = int(np.prod(shape)) * dtype.itemsize
        memory = Memory(self, size)
        self.call("Memset", memory.address, 0, size)
        self.synchronize(LEGACY_STREAM)
        return DeviceArray(memory.address, shape, dtype, size, size, lasting=True, owner=memory)

    def upload(self, address: int, array: Array, stream: Any) -> None:
        """Copy an array of the host to dense memory at `address`, in the order of `stream`.

        The array may be changed when `stream` has been synchronized.
        """
        self.call("MemcpyAsync", address, array.ctypes.data, array.nbytes, self._to_device, stream)

    def download(self, address: int, array: Array, stream: Any) -> None:
        """Copy dense memory into an array of the host, in the order of `stream`."""
        self.call("MemcpyAsync", array.ctypes.data, address, array.nbytes, self._to_host, stream)

    def copy(self, target: DeviceArray, source: DeviceArray, stream: Any) -> None:
        """Copy within the GPU, row by row where one of them is pitched, after `source.ready`.

        Raises:
            EngineError: they hold different numbers of bytes, or of rows.
        """
        self.wait(stream, source.ready)
        if target.nbytes != source.nbytes:
            raise EngineError(f"{source.nbytes} bytes do not fit into {target.nbytes}")
        row = min(source.row_bytes, target.row_bytes)
        for each in (source, target):
            if each.row_bytes not in (row, each.pitch):
                raise EngineError("the rows of two pitched arrays differ in length")
        pitches = [a.pitch if a.row_bytes == row else row for a in (target, source)]
        self.copy_rows(
            target.address,
            pitches[0],
            source.address,
            pitches[1],
            row,
            source.nbytes // row,
            stream,
        )

    def copy_rows(
        self,
        target: int,
        target_pitch: int,
        source: int,
        source_pitch: int,
        row_bytes: int,
        rows: int,
        stream: Any,
    ) -> None:
        """`cudaMemcpy2DAsync` within the GPU."""
        self.call(
            "Memcpy2DAsync",
            target,
            target_pitch,
            source,
            source_pitch,
            row_bytes,
            rows,
            self._inside,
            stream,
        )

    def to_host(self, source: DeviceArray, stream: Any) -> Array:
        """What `source` holds, as an array of the host; waits for it."""
        self.wait(stream, source.ready)
        array = np.empty(source.shape, source.dtype)
        self.call(
            "Memcpy2DAsync",
            array.ctypes.data,
            source.row_bytes,
            source.address,
            source.pitch,
            source.row_bytes,
            source.rows,
            self._to_host,
            stream,
        )
        self.synchronize(stream)
        return array
