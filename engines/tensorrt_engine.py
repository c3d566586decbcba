"""A TensorRT engine at work: buffers on the GPU, named tensors bound once, CUDA graphs.

`trt` is the TensorRT module; it and the `Cuda` come from the caller.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamfx.engines.base import Array, EngineInfo, TensorSpec, cause, check_tensors
from streamfx.engines.cuda import Cuda, DeviceArray, Memory
from streamfx.engines.errors import EngineError

Tensors = Mapping[str, Array | DeviceArray]

# Sets of addresses that a graph is kept for: two that take turns, and the engine's own.
_GRAPHS = 4

log = logging.getLogger(__name__)


class Plan:
    """An engine in the GPU's memory, shared by the streams that run it.

    Args:
        data: TensorRT's own bytes, known to be whole.
        name: of their file, for messages.

    Raises:
        EngineError: the runtime refuses them.
    """

    def __init__(self, trt: Any, data: bytes, name: str) -> None:
        self.trt = trt
        # The runtime must live as long as what it loaded.
        self._logger = trt.Logger(trt.Logger.ERROR)
        try:
            self._runtime = trt.Runtime(self._logger)
            self.engine = self._runtime.deserialize_cuda_engine(data)
        except (TypeError, RuntimeError) as error:  # TypeError: what a null pointer becomes
            raise EngineError(f"TensorRT's runtime does not start: {cause(error)}") from error
        if self.engine is None:
            raise EngineError(
                f"TensorRT refuses {name}: another version or another GPU built it; build it again"
            )


class TensorRTEngine:
    """See `Engine`. Each has its own execution context, stream and buffers.

    `run` also takes arrays that lie on the GPU. What `place` gave is bound as it is, so that two
    of them that take turns as a recurrent tensor's past and next never leave the GPU and are
    never copied; any other, such as a decoder's pitched surface, is copied once, within the GPU,
    to or from the engine's own dense buffer.
    """

    def __init__(
        self,
        info: EngineInfo,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        plan: Plan,
        cuda: Cuda,
    ) -> None:
        self.info = info
        self.inputs = inputs
        self.outputs = outputs
        self.cuda = cuda
        self.resident = True
        self._specs = {**inputs, **outputs}
        self._plan: Plan | None = plan
        self._buffers: dict[str, Memory] = {}
        self._stream: Any = None
        self._context: Any = None
        self._bound: dict[str, int] = {}  # addresses that the context has now
        # By the addresses that they were captured with; None = that set has run once.
        self._graphs: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._captures = True
        try:
            self._bind(plan)
        except EngineError:
            self.close()
            raise

    def run(self, inputs: Tensors, outputs: Tensors) -> None:
        self._check(inputs, outputs)
        self._run([(inputs, outputs)])

    def run_each(self, frames: Sequence[tuple[Tensors, Tensors]]) -> None:
        """Run an engine of batch N on the tensors of N single frames, one beside the other.

        Raises:
            EngineError: see `Engine.run`; or there are not N of them.
        """
        batch = next(iter(self.inputs.values())).shape[0]
        if len(frames) != batch:
            raise EngineError(f"the engine takes {batch} frames at a time, not {len(frames)}")
        for inputs, outputs in frames:
            self._check(inputs, outputs, batch)
        self._run(frames)

    def place(self, name: str) -> DeviceArray:
        """Memory for a tensor where `run` need not copy it; zeros, the caller's to keep.

        Raises:
            EngineError: the engine is closed, or the GPU's memory is full.
        """
        if self._context is None:
            raise EngineError("the engine is closed")
        return self.cuda.zeros(self._specs[name].shape, self._specs[name].dtype)

    def capture(self) -> None:
        """Record the work of a frame as a CUDA graph, which launches in one call.

        It must have run once. Where that fails, the log says why and frames run without.
        """
        self._capture(self._key())

    def close(self) -> None:
        self._context = None
        for graph in self._graphs.values():
            if graph is not None:
                self.cuda.dispose("GraphExecDestroy", graph)
        if self._stream is not None:
            self.cuda.destroy_stream(self._stream)
        self._graphs.clear()
        self._buffers.clear()
        self._stream = self._plan = None

    def _check(self, inputs: Tensors, outputs: Tensors, batch: int = 1) -> None:
        """Hold tensors against the specs, a `batch`-th part of them each."""
        if self._context is None:
            raise EngineError("the engine is closed")
        for given, specs in ((inputs, self.inputs), (outputs, self.outputs)):
            wanted = {
                name: TensorSpec((spec.shape[0] // batch, *spec.shape[1:]), spec.dtype)
                for name, spec in specs.items()
            }
            host = {name: a for name, a in given.items() if not isinstance(a, DeviceArray)}
            there = {name: a for name, a in given.items() if isinstance(a, DeviceArray)}
            for name, array in there.items():
                spec = wanted.pop(name, None)
                if spec is None or (array.shape, array.dtype) != (spec.shape, spec.dtype):
                    raise EngineError(
                        f"{name} on the GPU is {array.dtype} {list(array.shape)}; the engine takes "
                        + (f"{spec.dtype} {list(spec.shape)}" if spec else ", ".join(specs))
                    )
            if given is inputs:
                check_tensors(host, {}, wanted, {})
            else:
                check_tensors({}, host, {}, wanted)

    def _run(self, frames: Sequence[tuple[Tensors, Tensors]]) -> None:
        cuda, stream = self.cuda, self._stream
        bound = {}
        if len(frames) == 1:
            bound = {
                name: array.address
                for tensors in frames[0]
                for name, array in tensors.items()
                if isinstance(array, DeviceArray) and array.lasting
            }
        for index, (inputs, _) in enumerate(frames):
            for name, array in inputs.items():
                if isinstance(array, DeviceArray):
                    if name in bound:
                        cuda.wait(stream, array.ready)
                    else:
                        cuda.copy(self._part(name, index, array.nbytes), array, stream)
                else:
                    part = self._part(name, index, array.nbytes)
                    cuda.upload(part.address, array, stream)
        self._launch(bound)
        for index, (_, outputs) in enumerate(frames):
            for name, array in outputs.items():
                if name in bound:
                    continue
                part = self._part(name, index, array.nbytes)
                if isinstance(array, DeviceArray):
                    cuda.copy(array, part, stream)
                else:
                    cuda.download(part.address, array, stream)
        cuda.synchronize(stream)

    def _part(self, name: str, index: int, size: int) -> DeviceArray:
        """The place of frame `index` in the engine's own buffer, dense."""
        address = int(self._buffers[name].address) + index * size
        spec = self._specs[name]
        return DeviceArray(address, (size // spec.dtype.itemsize,), spec.dtype, size, size)

    def _launch(self, bound: Mapping[str, int]) -> None:
        key = self._key(bound)
        known = key in self._graphs
        if known and self._graphs[key] is None:
            self._rebind(bound)
            self._capture(key)
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
            self.cuda.call("GraphLaunch", graph, self._stream)
            return
        self._rebind(bound)
        self._enqueue()
        if not known and self._captures:
            self._keep(key, None)

    def _capture(self, key: tuple[int, ...]) -> None:
        if not self._captures:
            return
        cuda = self.cuda
        local = cuda.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        try:
            cuda.call("StreamBeginCapture", self._stream, local)
            try:
                self._enqueue()
            finally:
                (graph,) = cuda.call("StreamEndCapture", self._stream)
            (ready,) = cuda.call("GraphInstantiate", graph, 0)
            self._keep(key, ready)
            cuda.call("GraphDestroy", graph)
        except EngineError as error:
            self._captures = False
            self._graphs.pop(key, None)
            log.info("frames run without a CUDA graph: %s", error)

    def _keep(self, key: tuple[int, ...], graph: Any) -> None:
        self._graphs[key] = graph
        self._graphs.move_to_end(key)
        if len(self._graphs) > _GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            if oldest is not None:
                self.cuda.dispose("GraphExecDestroy", oldest)

    def _key(self, bound: Mapping[str, int] | None = None) -> tuple[int, ...]:
        bound = bound or {}
        return tuple(bound.get(name, int(b.address)) for name, b in self._buffers.items())

    def _rebind(self, bound: Mapping[str, int]) -> None:
        for name, address in zip(self._buffers, self._key(bound), strict=True):
            if self._bound[name] != address:
                if not self._context.set_tensor_address(name, address):
                    raise EngineError(f"TensorRT does not take a buffer for {name}")
                self._bound[name] = address

    def _bind(self, plan: Plan) -> None:
        trt, engine, cuda = plan.trt, plan.engine, self.cuda
        names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        if names != self._specs.keys():
            wrong = ", ".join(sorted(names ^ self._specs.keys()))
            raise EngineError(f"the built engine lacks or adds tensors: {wrong}")
        for name, spec in self._specs.items():
            if np.dtype(trt.nptype(engine.get_tensor_dtype(name))) != spec.dtype:
                raise EngineError(f"the built engine's {name} is not {spec.dtype}")
        context = engine.create_execution_context()
        if context is None:
            raise EngineError("TensorRT makes no execution context: the GPU's memory may be full")
        self._stream = cuda.create_stream()
        for name, spec in self._specs.items():
            size = int(np.prod(spec.shape)) * spec.dtype.itemsize
            self._buffers[name] = Memory(cuda, size)
            if name in self.inputs and not context.set_input_shape(name, spec.shape):
                raise EngineError(f"the built engine does not take {name} as {list(spec.shape)}")
            address = int(self._buffers[name].address)
            if not context.set_tensor_address(name, address):
                raise EngineError(f"TensorRT does not take a buffer for {name}")
            self._bound[name] = address
        self._context = context

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise EngineError("TensorRT failed on a frame")
