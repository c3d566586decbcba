"""A TensorRT engine at work: buffers on the GPU, named tensors bound once, CUDA graphs.

`trt` is the TensorRT module and `cuda` is `cuda.bindings.runtime`; both come from the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from streamfx.engines.base import Array, EngineInfo, TensorSpec, cause, check_tensors
from streamfx.engines.errors import EngineError

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
    """See `Engine`. Each has its own execution context, stream and buffers."""

    def __init__(
        self,
        info: EngineInfo,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        plan: Plan,
        cuda: Any,
    ) -> None:
        self.info = info
        self.inputs = inputs
        self.outputs = outputs
        self._plan: Plan | None = plan
        self._cuda = cuda
        self._buffers: dict[str, Any] = {}
        self._stream: Any = None
        self._graph: Any = None
        self._context: Any = None
        try:
            self._bind(plan)
        except EngineError:
            self.close()
            raise

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        if self._context is None:
            raise EngineError("the engine is closed")
        check_tensors(inputs, outputs, self.inputs, self.outputs)
        cuda = self._cuda
        to_device = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        to_host = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for name, array in inputs.items():
            self._call(
                "MemcpyAsync", self._buffers[name], array.ctypes.data, array.nbytes, to_device
            )
        if self._graph is not None:
            self._call("GraphLaunch", self._graph)
        else:
            self._enqueue()
        for name, array in outputs.items():
            self._call("MemcpyAsync", array.ctypes.data, self._buffers[name], array.nbytes, to_host)
        self._call("StreamSynchronize")

    def capture(self) -> None:
        """Record the work of a frame as a CUDA graph, which launches in one call.

        It must have run once. Where that fails, the log says why and frames run without.
        """
        cuda = self._cuda
        local = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        try:
            _check("StreamBeginCapture", *cuda.cudaStreamBeginCapture(self._stream, local))
            try:
                self._enqueue()
            finally:
                (graph,) = _check("StreamEndCapture", *cuda.cudaStreamEndCapture(self._stream))
            (self._graph,) = _check("GraphInstantiate", *cuda.cudaGraphInstantiate(graph, 0))
            _check("GraphDestroy", *cuda.cudaGraphDestroy(graph))
        except EngineError as error:
            log.info("frames run without a CUDA graph: %s", error)

    def close(self) -> None:
        cuda = self._cuda
        self._context = None
        if self._graph is not None:
            cuda.cudaGraphExecDestroy(self._graph)
        for buffer in self._buffers.values():
            cuda.cudaFree(buffer)
        if self._stream is not None:
            cuda.cudaStreamDestroy(self._stream)
        self._buffers.clear()
        self._graph = self._stream = self._plan = None

    def _bind(self, plan: Plan) -> None:
        trt, engine, cuda = plan.trt, plan.engine, self._cuda
        specs = {**self.inputs, **self.outputs}
        names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        if names != specs.keys():
            wrong = ", ".join(sorted(names ^ specs.keys()))
            raise EngineError(f"the built engine lacks or adds tensors: {wrong}")
        for name, spec in specs.items():
            if np.dtype(trt.nptype(engine.get_tensor_dtype(name))) != spec.dtype:
                raise EngineError(f"the built engine's {name} is not {spec.dtype}")
        context = engine.create_execution_context()
        if context is None:
            raise EngineError("TensorRT makes no execution context: the GPU's memory may be full")
        (self._stream,) = _check("StreamCreate", *cuda.cudaStreamCreate())
        for name, spec in specs.items():
            size = int(np.prod(spec.shape)) * spec.dtype.itemsize
            (self._buffers[name],) = _check("Malloc", *cuda.cudaMalloc(size))
            if name in self.inputs and not context.set_input_shape(name, spec.shape):
                raise EngineError(f"the built engine does not take {name} as {list(spec.shape)}")
            if not context.set_tensor_address(name, int(self._buffers[name])):
                raise EngineError(f"TensorRT does not take a buffer for {name}")
        self._context = context

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise EngineError("TensorRT failed on a frame")

    def _call(self, name: str, *arguments: Any) -> None:
        """A CUDA call on this engine's stream that returns nothing but its status."""
        _check(name, *getattr(self._cuda, f"cuda{name}")(*arguments, self._stream))


def _check(name: str, status: Any, *results: Any) -> tuple[Any, ...]:
    if int(status) != 0:
        raise EngineError(f"cuda{name} failed: {getattr(status, 'name', status)}")
    return results
