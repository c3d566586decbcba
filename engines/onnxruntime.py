"""ONNX Runtime on the CPU in fp32: the reference that the others are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamfx.engines import graph as graphs
from streamfx.engines.base import (
    Array,
    Available,
    EngineInfo,
    EngineOptions,
    TensorSpec,
    Unavailable,
    cause,
    check_tensors,
    run_on_zeros,
)
from streamfx.engines.errors import EngineError

_PROVIDER = "CPUExecutionProvider"
_ERRORS_ONLY = 3


class ONNXRuntimeBackend:
    """fp32 only: bf16 is refused. The provider that runs is the one asked for, or none:
    ONNX Runtime replaces one that cannot load in silence, so it is asked afterwards."""

    name = "onnxruntime"

    def probe(self) -> Available | Unavailable:
        try:
            import onnxruntime
        except ImportError as error:
            return Unavailable(
                f"onnxruntime cannot be imported ({cause(error)})", "pip install onnxruntime"
            )
        providers = onnxruntime.get_available_providers()
        if _PROVIDER not in providers:
            return Unavailable(
                f"onnxruntime has no {_PROVIDER} (found: {providers})", "pip install onnxruntime"
            )
        return Available(version=str(onnxruntime.__version__), device="CPU", precisions=("fp32",))

    def load(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int = 1,
        options: EngineOptions,
    ) -> ONNXRuntimeEngine:
        found = self.probe()
        if isinstance(found, Unavailable):
            raise EngineError(f"{found.reason}; try: {found.fix}")
        if options.precision == "bf16":
            raise EngineError("onnxruntime runs fp32 only; use precision auto or fp32")
        threads = options.thread_count()
        model, spec = graphs.read_graph(graph)
        inputs, outputs = graphs.tensor_specs(spec, size, batch)
        session = create_session(graphs.freeze(model, inputs), threads)
        info = EngineInfo(self.name, found.device, "fp32", threads, found.version)
        engine = ONNXRuntimeEngine(info, inputs, outputs, session)
        run_on_zeros(engine)
        return engine


class ONNXRuntimeEngine:
    """See `Engine`."""

    def __init__(
        self,
        info: EngineInfo,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        session: Any,
    ) -> None:
        self.info = info
        self.inputs = inputs
        self.outputs = outputs
        self._session = session

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        if self._session is None:
            raise EngineError("the engine is closed")
        check_tensors(inputs, outputs, self.inputs, self.outputs)
        try:
            binding = self._session.io_binding()
            for given, bind in ((inputs, binding.bind_input), (outputs, binding.bind_output)):
                for name, array in given.items():
                    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding)
        except Exception as error:  # the binding raises plain and private types
            raise EngineError(f"ONNX Runtime failed on a frame: {cause(error)}") from error

    def close(self) -> None:
        self._session = None


def create_session(graph: bytes, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` in fp32 on the CPU.

    Raises:
        EngineError: ONNX Runtime is missing, refuses the graph or took another provider.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("onnxruntime is missing; try: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[_PROVIDER])
    except Exception as error:  # ONNX Runtime raises plain and private types
        raise EngineError(f"ONNX Runtime cannot load the graph: {cause(error)}") from error
    taken = session.get_providers()[0]
    if taken != _PROVIDER:
        raise EngineError(f"ONNX Runtime took {taken} where {_PROVIDER} was asked for")
    return session
