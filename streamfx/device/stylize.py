"""Restyling frames on the GPU: surface in, surface out, the past kept in the engine's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from streamfx import engines
from streamfx.brushwork import Brushwork
from streamfx.device.frames import DeviceFrame, SurfacePool
from streamfx.engines.base import TensorSpec
from streamfx.engines.cuda import Cuda, DeviceArray
from streamfx.engines.graph import read_graph, read_spec
from streamfx.engines.nv12 import to_nv12
from streamfx.engines.residence import Resident
from streamfx.errors import StreamFXError
from streamfx.following import Follower
from streamfx.stylizer import Stylizer

Size = tuple[int, int]
Tensors = dict[str, engines.Array | DeviceArray]


class DeviceEngine(Protocol):
    """An engine that takes arrays of the GPU's memory; see `TensorRTEngine`."""

    @property
    def inputs(self) -> Any: ...

    @property
    def outputs(self) -> Any: ...

    @property
    def cuda(self) -> Cuda: ...

    def run(self, inputs: Any, outputs: Any) -> None: ...

    def place(self, name: str) -> DeviceArray: ...

    def close(self) -> None: ...


Load = Callable[[bytes, Size], DeviceEngine]


def resident_graph(graph: bytes) -> bytes:
    """The graph for frames that stay on the GPU, of a pack's.

    Raises:
        EngineError: see `streamfx.engines.nv12.to_nv12`.
    """
    turned: bytes = to_nv12(read_graph(graph)[0]).SerializeToString()
    return turned


class DeviceStylizer:
    """Restyles the frames of one stream that lie on the GPU; the counterpart of `Stylizer`.

    Pictures never leave the GPU. What does is a copy of the luma, from which scene cuts and the
    motion are read on the CPU; what comes is the motion and the brushwork. One thread at a time
    may call it.

    Args:
        look: whose style, code and strength count, frame by frame; they may be set from any
            thread. Its own engines are not used.
        load: gives an engine for the NV12 graph and (height, width), such as
            `streamfx.engines.load` with a TensorRT back end.
        cuda: the GPU that the frames are on.
    """

    def __init__(self, look: Stylizer, load: Load, cuda: Cuda) -> None:
        self._graph = resident_graph(look.pack.generator)
        self._spec = read_spec(self._graph)
        self._look = look
        self._load = load
        self._cuda = cuda
        self._stream = cuda.create_stream()
        self._closed = False
        self._brushwork = Brushwork.of(look.pack)
        self._follower = Follower(self._spec.motion, self._brushwork.has_marks)
        self._engine: DeviceEngine | None = None
        self._pool: SurfacePool | None = None
        self._size: Size | None = None
        # Two places for each recurrent tensor, which take turns.
        self._past: dict[str, DeviceArray] = {}
        self._next: dict[str, DeviceArray] = {}

    def reset(self) -> None:
        """Forget the last frame: the next one is restyled as the first of a stream."""
        self._follower.reset()

    def prepare(self, height: int, width: int) -> None:
        """Load the engine for a frame size, unless it is there. Odd sides are made even.

        Raises:
            EngineError: no engine can be had.
        """
        size = (height + height % 2, width + width % 2)
        if self._closed:
            raise StreamFXError("the stylizer is closed; make a new one")
        if size == self._size:
            return
        self._drop_engine()
        engine = self._load(self._graph, size)
        self._past, self._next = (
            {name: engine.place(name) for name in self._spec.recurrent} for _ in range(2)
        )
        self._engine, self._size = engine, size
        self._pool = SurfacePool(self._cuda, size)
        self.reset()

    def __call__(self, frame: DeviceFrame) -> DeviceFrame:
        """The restyled frame, in a surface of its own, with the time and the tags of `frame`.

        At strength 0 it is a copy. `frame` stays the caller's, who closes it.

        Raises:
            EngineError: no engine can be had, it failed, or the GPU's memory is full.
        """
        self.prepare(frame.height, frame.width)
        engine, pool = self._engine, self._pool
        assert engine is not None
        assert pool is not None
        strength = self._look.strength
        if strength == 0:
            self.reset()
            return self._even(frame, pool)
        luma = np.asarray(self._cuda.to_host(frame.y, self._stream)[0, 0], np.uint8)
        even = None
        if (frame.height, frame.width) != pool.size:
            even = self._even(frame, pool)
            luma = np.pad(luma, ((0, luma.shape[0] % 2), (0, luma.shape[1] % 2)), mode="edge")
        step = self._follower(luma, frame.time)
        surface, hold = pool.take()
        try:
            source = even or frame
            inputs: Tensors = {"y": source.y, "uv": source.uv, "style": self._look.code[None]}
            inputs["strength"] = np.full((1, 1), strength, np.float32)
            if step.goes_on:
                inputs |= self._past
            if step.motion is not None:
                inputs |= step.motion.inputs(strength)
            if step.places is not None:
                inputs |= self._brushwork.inputs(self._look.code, pool.size, step.places)
            for name, spec in engine.inputs.items():
                if name not in inputs:
                    inputs[name] = _zeros(spec)
            outputs: Tensors = {"y_out": surface.y, "uv_out": surface.uv}
            outputs |= {f"{name}_out": array for name, array in self._next.items()}
            engine.run(inputs, outputs)
        except BaseException:
            hold.release()
            raise
        finally:
            if even is not None:
                even.close()
        self._past, self._next = self._next, self._past
        return _renewed(frame, DeviceFrame(surface.y, surface.uv, hold, surface))

    def close(self) -> None:
        """Free the engine; frames that are out stay whole. Closing again does nothing."""
        self._drop_engine()
        if not self._closed:
            self._cuda.destroy_stream(self._stream)
        self._closed = True

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = self._pool = self._size = None
        self._past, self._next = {}, {}

    def _even(self, frame: DeviceFrame, pool: SurfacePool) -> DeviceFrame:
        """A copy in a surface, its sides made even by repeating the last row and column."""
        surface, hold = pool.take()
        try:
            for source, target in ((frame.y, surface.y), (frame.uv, surface.uv)):
                self._fill(target, source)
            self._cuda.synchronize(self._stream)
        except BaseException:
            hold.release()
            raise
        return _renewed(frame, DeviceFrame(surface.y, surface.uv, hold, surface))

    def _fill(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copy a plane into the top left of a plane that may be larger by one row or column."""
        copy, stream = self._cuda.copy_rows, self._stream
        self._cuda.wait(stream, source.ready)
        step = target.row_bytes - source.row_bytes  # 0, or the bytes of one column
        copy(
            target.address,
            target.pitch,
            source.address,
            source.pitch,
            source.row_bytes,
            source.rows,
            stream,
        )
        if step:
            last = target.address + source.row_bytes
            copy(last, target.pitch, last - step, target.pitch, step, source.rows, stream)
        if target.rows > source.rows:
            last = target.address + target.pitch * source.rows
            copy(last, target.pitch, last - target.pitch, target.pitch, target.row_bytes, 1, stream)


def _renewed(frame: DeviceFrame, restyled: DeviceFrame) -> DeviceFrame:
    restyled.pts, restyled.time_base = frame.pts, frame.time_base
    restyled.duration, restyled.color = frame.duration, frame.color
    return restyled


def _zeros(spec: TensorSpec) -> engines.Array:
    return np.zeros(spec.shape, spec.dtype)


def device_engine(engine: engines.Engine) -> DeviceEngine:
    """`engine`, which must be one that takes arrays of the GPU's memory.

    Raises:
        StreamFXError: it is not.
    """
    if not (isinstance(engine, Resident) and engine.resident and hasattr(engine, "cuda")):
        raise StreamFXError(
            f"{engine.info.backend} takes frames from the host's memory alone; frames stay on the "
            "GPU with the back ends tensorrt-rtx and tensorrt"
        )
    return engine
