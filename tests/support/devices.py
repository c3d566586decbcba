"""A GPU in software: CUDA's runtime and TensorRT's over plain memory.

They know nothing of speed, and only what is written down of the real ones' manners; those that
catch mistakes are kept: work waits in its stream until somebody synchronizes, every access lies
inside an allocation, and fresh memory holds rubbish.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from threading import RLock
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamfx import engines
from streamfx.device.dlpack import CPU
from streamfx.engines.base import EngineInfo, EngineOptions, TensorSpec
from streamfx.engines.cuda import LEGACY_STREAM
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.graph import read_spec, tensor_specs
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt_engine import Plan, TensorRTEngine

DEVICE = (CPU, 0)  # what DLPack is told: the memory is the host's, whatever it plays
FP32 = EngineOptions(precision="fp32", threads=1)
RUBBISH = 0xCD

Work = Callable[[], None]
Plane = NDArray[np.uint8]


def bytes_at(address: int, size: int) -> Plane:
    """A view of memory that somebody else keeps."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


class Cuda:
    """CUDA's runtime over plain memory. It counts what is not freed."""

    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self) -> None:
        self.memory: dict[int, Plane] = {}
        self.streams: dict[int, deque[Work]] = {LEGACY_STREAM: deque()}
        self.events: dict[int, Any] = {}
        self.graphs: dict[int, Work] = {}
        self.made = 100
        self.capturing: tuple[int, list[Work]] | None = None  # the stream, and what it got
        self.can_capture = True
        self.finishing = RLock()
        self.launches = 0
        self.moved = {1: 0, 2: 0, 3: 0}  # bytes by kind of copy
        self.fails: set[str] = set()

    @property
    def own_streams(self) -> set[int]:
        """The streams that have not been destroyed."""
        return self.streams.keys() - {LEGACY_STREAM}

    def enqueue(self, stream: int, work: Work) -> None:
        """Let work be done when the stream comes to it."""
        if self.capturing is not None and self.capturing[0] == int(stream):
            self.capturing[1].append(work)
        else:
            self.streams[int(stream)].append(work)

    def finish(self, stream: int) -> None:
        """Do all work of a stream."""
        queue = self.streams[int(stream)]
        with self.finishing:  # threads may wait for one stream
            while queue:
                queue.popleft()()

    def _status(self, name: str) -> int:
        return 2 if name in self.fails else 0

    def _number(self) -> int:
        self.made += 1
        return self.made

    def at(self, address: int, size: int) -> Plane:
        """The bytes of an allocation, which must hold all of them."""
        for start, memory in list(self.memory.items()):  # another thread may allocate
            if start <= address and address + size <= start + memory.size:
                return memory[address - start :][:size]
        raise AssertionError(f"{size} bytes at {address:#x} lie outside every allocation")

    def cudaMalloc(self, size: int) -> tuple[int, int | None]:
        if status := self._status("cudaMalloc"):
            return status, None
        memory = np.full(size, RUBBISH, np.uint8)
        self.memory[memory.ctypes.data] = memory
        return 0, memory.ctypes.data

    def cudaFree(self, address: int) -> tuple[int]:
        del self.memory[address]
        return (0,)

    def cudaMemset(self, address: int, value: int, size: int) -> tuple[int]:
        def work() -> None:
            self.at(address, size)[:] = value

        self.enqueue(LEGACY_STREAM, work)
        return (0,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:
        assert flags == 1  # one that does not wait for the legacy stream
        number = self._number()
        self.streams[number] = deque()
        return 0, number

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:
        self.finish(stream)
        del self.streams[stream]
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:
        self.finish(stream)
        return (0,)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[int, int]:
        number = self._number()
        self.events[number] = SimpleNamespace(stream=None, reached=True)
        return 0, number

    def cudaEventDestroy(self, event: int) -> tuple[int]:
        del self.events[event]
        return (0,)

    def cudaEventRecord(self, event: int, stream: int) -> tuple[int]:
        point = self.events[event]
        point.stream, point.reached = self.streams[int(stream)], False
        self.enqueue(stream, lambda: setattr(point, "reached", True))
        return (0,)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[int]:
        point = self.events[event]

        def work() -> None:
            while not point.reached:
                point.stream.popleft()()

        self.enqueue(stream, work)
        return (0,)

    def cudaMemcpyAsync(
        self, target: int, source: int, size: int, kind: int, stream: int
    ) -> tuple[int]:
        return self._copy("cudaMemcpyAsync", target, size, source, size, size, 1, kind, stream)

    def cudaMemcpy2DAsync(
        self,
        target: int,
        target_pitch: int,
        source: int,
        source_pitch: int,
        width: int,
        rows: int,
        kind: int,
        stream: int,
    ) -> tuple[int]:
        assert width <= min(target_pitch, source_pitch)
        return self._copy(
            "cudaMemcpy2DAsync",
            target,
            target_pitch,
            source,
            source_pitch,
            width,
            rows,
            kind,
            stream,
        )

    def _copy(
        self,
        name: str,
        target: int,
        target_pitch: int,
        source: int,
        source_pitch: int,
        width: int,
        rows: int,
        kind: int,
        stream: int,
    ) -> tuple[int]:
        if status := self._status(name):
            return (status,)
        self.moved[kind] += width * rows
        # Memory of the host that is not page-locked is read at once, and written before the
        # call is back.
        early = bytes_at(source, source_pitch * (rows - 1) + width).copy() if kind == 1 else None

        def work() -> None:
            for row in range(rows):
                at = row * source_pitch
                host = early is not None
                line = early[at : at + width] if host else self.at(source + at, width)
                to = target + row * target_pitch
                (bytes_at(to, width) if kind == 2 else self.at(to, width))[:] = line

        self.enqueue(stream, work)
        if kind == 2:
            self.finish(stream)
        return (0,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:
        self.capturing = (int(stream), [])
        return (0,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, Any]:
        assert self.capturing is not None
        (_, captured), self.capturing = self.capturing, None
        return (0, captured) if self.can_capture else (900, None)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[int, int]:
        number = self._number()
        (self.graphs[number],) = graph
        return 0, number

    def cudaGraphDestroy(self, graph: Any) -> tuple[int]:
        return (0,)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[int]:
        del self.graphs[graph]
        return (0,)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[int]:
        self.launches += 1
        self.enqueue(stream, self.graphs[graph])
        return (0,)


class Context:
    """An execution context that computes with ONNX Runtime on the addresses it was given."""

    def __init__(self, cuda: Cuda, engine: engines.Engine) -> None:
        self.cuda, self.engine = cuda, engine
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return self.engine.inputs[name].shape == shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream in self.cuda.streams
        addresses = dict(self.addresses)  # what a captured graph keeps

        def work() -> None:
            def arrays(specs: Any) -> dict[str, engines.Array]:
                return {name: self._array(addresses[name], spec) for name, spec in specs.items()}

            self.engine.run(arrays(self.engine.inputs), arrays(self.engine.outputs))

        self.cuda.enqueue(stream, work)
        return True

    def _array(self, address: int, spec: TensorSpec) -> engines.Array:
        size = int(np.prod(spec.shape)) * spec.dtype.itemsize
        return self.cuda.at(address, size).view(spec.dtype).reshape(spec.shape)


class TensorRT:
    """TensorRT's runtime; the plan that it takes is `good`."""

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None: ...

    good = b"plan"

    def __init__(
        self, cuda: Cuda, graph: bytes, size: tuple[int, int] = (96, 128), batch: int = 1
    ) -> None:
        self.cuda = cuda
        self.graph = graph
        self.size = size
        self.batch = batch
        self.loaded = 0

    def Runtime(self, logger: object) -> SimpleNamespace:
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    def nptype(self, dtype: Any) -> Any:
        return dtype

    def _deserialize(self, data: bytes) -> Any:
        if data != self.good:
            return None
        self.loaded += 1

        def real() -> engines.Engine:
            return ONNXRuntimeBackend().load(
                self.graph, size=self.size, batch=self.batch, options=FP32
            )

        specs = {**real().inputs, **real().outputs}
        names = list(specs)
        return SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=lambda index: names[index],
            get_tensor_dtype=lambda name: specs[name].dtype,
            create_execution_context=lambda: Context(self.cuda, real()),
        )


def engine(
    cuda: Cuda,
    graph: bytes,
    size: tuple[int, int],
    batch: int = 1,
    *,
    name: str = "tensorrt",
    runtime: Runtime | None = None,
) -> TensorRTEngine:
    """The program's engine on the doubles; `size` is (height, width)."""
    trt = TensorRT(cuda, graph, size, batch)
    info = EngineInfo(name, "a double", "fp32", 1, "0")
    specs = tensor_specs(read_spec(graph), size, batch)
    plan = Plan(trt, trt.good, "plan")
    return TensorRTEngine(info, *specs, plan, runtime or Runtime(cuda))
