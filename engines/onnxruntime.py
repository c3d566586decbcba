"""ONNX Runtime: in fp32 on the CPU the reference that the others are held against, and the way
to CUDA, DirectML and CoreML."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamfx.engines import graph as graphs
from streamfx.engines.base import (
    Array,
    Available,
    EngineInfo,
    EngineOptions,
    NeedsNoBuild,
    TensorSpec,
    Unavailable,
    cause,
    check_tensors,
    run_on_zeros,
)
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import find_gpu
from streamfx.engines.typed import lower

_ERRORS_ONLY = 3
_CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """What computes for ONNX Runtime.

    Attributes:
        backend: the name of the back end.
        name: ONNX Runtime's name of the provider.
        device: in words.
        precisions: see `Available`; for those below fp32 the graph is typed.
        package: what brings it.
    """

    backend: str
    name: str
    device: str
    precisions: tuple[str, ...]
    package: str


CPU = Provider("onnxruntime", _CPU, "CPU", ("fp32",), "onnxruntime")
CUDA = Provider(
    "onnxruntime-cuda",
    "CUDAExecutionProvider",
    "CUDA",
    ("fp16", "fp32"),
    "'onnxruntime-gpu[cuda,cudnn]'",
)
DIRECTML = Provider(
    "onnxruntime-directml",
    "DmlExecutionProvider",
    "DirectML",
    ("fp16", "fp32"),
    "onnxruntime-directml",
)
COREML = Provider("onnxruntime-coreml", "CoreMLExecutionProvider", "CoreML", ("fp32",), CPU.package)


def onnxruntime_backends() -> tuple[ONNXRuntimeBackend, ...]:
    """CUDA, the CPU, and what this operating system has beside them."""
    others = {"win32": (DIRECTML,), "darwin": (COREML,)}.get(sys.platform, ())
    return tuple(ONNXRuntimeBackend(provider) for provider in (CUDA, CPU, *others))


class ONNXRuntimeBackend(NeedsNoBuild):
    """ONNX Runtime with one provider, which is the one that runs: ONNX Runtime replaces a
    provider that cannot load in silence, so each session is asked afterwards which it took."""

    def __init__(self, provider: Provider = CPU) -> None:
        self._provider = provider
        self.name = provider.backend

    def probe(self) -> Available | Unavailable:
        wanted = self._provider
        fix = f"pip install {wanted.package}"
        try:
            import onnxruntime
        except ImportError as error:
            return Unavailable(f"onnxruntime cannot be imported ({cause(error)})", fix)
        providers = onnxruntime.get_available_providers()
        if wanted.name not in providers:
            if wanted.package != CPU.package:
                # Each of its packages overwrites the files of the others.
                fix = f"pip uninstall {CPU.package}; {fix}"
            return Unavailable(
                f"this onnxruntime has no {wanted.name} (it has {', '.join(providers)})", fix
            )
        device = wanted.device
        if wanted is CUDA:
            gpu = find_gpu()
            if isinstance(gpu, Unavailable):
                return gpu
            device = gpu.name
        return Available(str(onnxruntime.__version__), device, wanted.precisions)

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
        precision = found.settle(options.precision, self.name)
        threads = options.thread_count()
        model, spec = graphs.read_graph(graph)
        inputs, outputs = graphs.tensor_specs(spec, size, batch)
        typed = lower(graphs.freeze(model, inputs), precision)
        session = create_session(typed.SerializeToString(), threads, self._provider.name)
        info = EngineInfo(self.name, found.device, precision, threads, found.version)
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


def create_session(graph: bytes, threads: int, provider: str = _CPU) -> Any:
    """An `onnxruntime.InferenceSession` that runs on `provider`.

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
    if provider == DIRECTML.name:
        options.enable_mem_pattern = False  # which DirectML asks for
    if provider == CUDA.name and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN where pip has put them
    try:
        session = onnxruntime.InferenceSession(
            graph, options, providers=[provider], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime raises plain and private types
        raise EngineError(f"ONNX Runtime cannot load the graph: {cause(error)}") from error
    taken = session.get_providers()[0]
    if taken != provider:
        raise EngineError(f"ONNX Runtime took {taken} where {provider} was asked for")
    return session
