"""OpenVINO: on the CPU the default back end, and the way to Intel's GPUs and NPUs."""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
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

_CONVERTER = "openvino.tools.ovc"
# By device: our name of a precision and OpenVINO's, the one that "auto" takes first.
_PRECISIONS = {
    "CPU": (("bf16", "BF16"), ("fp32", "FP32")),
    "GPU": (("fp16", "FP16"), ("fp32", "FP32")),
    "NPU": (("fp16", "FP16"),),
}
_FIXES = {
    "CPU": "pip install --force-reinstall openvino",
    "GPU": "install Intel's GPU driver with its OpenCL or Level Zero runtime",
    "NPU": "install Intel's NPU driver",
}
# Arrays whose wrappers are kept: two frames' planes and states, style, strength, motion.
_WRAPPERS = 24


@dataclass(frozen=True)
class Placement:
    """On which of the CPU's cores OpenVINO's threads run; None leaves it to OpenVINO.

    Attributes:
        pinning: whether each thread stays on one core.
        hyper_threading: whether both threads of a core are used.
        fast_cores_only: of a CPU that has fast ones and others that save power.
    """

    pinning: bool | None = None
    hyper_threading: bool | None = None
    fast_cores_only: bool = False

    def properties(self) -> dict[str, Any]:
        """The same in OpenVINO's words."""
        properties: dict[str, Any] = {}
        if self.pinning is not None:
            properties["ENABLE_CPU_PINNING"] = self.pinning
        if self.hyper_threading is not None:
            properties["ENABLE_HYPER_THREADING"] = self.hyper_threading
        if self.fast_cores_only:
            kinds = _openvino().properties.hint.SchedulingCoreType
            properties["SCHEDULING_CORE_TYPE"] = kinds.PCORE_ONLY
        return properties

    def __str__(self) -> str:
        said = {
            "pinned": self.pinning is True,
            "not pinned": self.pinning is False,
            "both threads of a core": self.hyper_threading is True,
            "one thread a core": self.hyper_threading is False,
            "fast cores only": self.fast_cores_only,
        }
        return ", ".join(words for words, holds in said.items() if holds)


class OpenVINOBackend(NeedsNoBuild):
    """The precision hint is always explicit, because OpenVINO would choose by itself. Nothing is
    cached on disk.

    Args:
        device: "CPU" (bf16 where it lists it), or Intel's "GPU" or "NPU" (fp16).
        placement: of the threads, on the CPU.
    """

    def __init__(self, device: str = "CPU", placement: Placement | None = None) -> None:
        self._device = device
        self._placement = placement or Placement()
        self.name = "openvino" if device == "CPU" else f"openvino-{device.lower()}"

    def probe(self) -> Available | Unavailable:
        try:
            _openvino()
        except ImportError as error:
            return Unavailable(
                f"openvino cannot be imported ({cause(error)})", "pip install openvino"
            )
        try:
            core = _core()
            if self._device not in core.available_devices:
                return Unavailable(
                    f"openvino finds no {self._device} device "
                    f"(it finds {', '.join(core.available_devices)})",
                    _FIXES[self._device],
                )
            listed = core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")
            candidates = _PRECISIONS[self._device]
            return Available(
                version=_version(),
                device=str(core.get_property(self._device, "FULL_DEVICE_NAME")),
                precisions=tuple(name for name, listing in candidates if listing in listed),
            )
        except RuntimeError as error:
            return Unavailable(f"openvino does not start ({cause(error)})", _FIXES["CPU"])

    def load(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int = 1,
        options: EngineOptions,
    ) -> OpenVINOEngine:
        found = self.probe()
        if isinstance(found, Unavailable):
            raise EngineError(f"{found.reason}; try: {found.fix}")
        precision = found.settle(options.precision, self.name)
        threads = options.thread_count()
        model, spec = graphs.read_graph(graph)
        inputs, outputs = graphs.tensor_specs(spec, size, batch)
        frozen = read_model(graphs.freeze(model, inputs).SerializeToString())
        compiled = compile_model(
            frozen, self._device, precision, threads, self._placement.properties()
        )
        for port in compiled.outputs:
            name = next(iter(port.names & outputs.keys()), None)
            shape = tuple(port.shape) if port.partial_shape.is_static else None
            if name is None or shape != outputs[name].shape:
                raise EngineError(
                    f"the graph's output {name or port.any_name} has the shape {shape}, "
                    "which is not the contract's"
                )
        info = EngineInfo(self.name, found.device, precision, threads, found.version)
        engine = OpenVINOEngine(info, inputs, outputs, compiled.create_infer_request())
        run_on_zeros(engine)
        return engine


class OpenVINOEngine:
    """See `Engine`."""

    def __init__(
        self,
        info: EngineInfo,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        request: Any,
    ) -> None:
        self.info = info
        self.inputs = inputs
        self.outputs = outputs
        self._request = request
        # id -> (array, wrapper): holding the array keeps its id from being given away.
        self._wrappers: OrderedDict[int, tuple[Array, Any]] = OrderedDict()

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        if self._request is None:
            raise EngineError("the engine is closed")
        check_tensors(inputs, outputs, self.inputs, self.outputs)
        try:
            for name, array in (*inputs.items(), *outputs.items()):
                self._request.set_tensor(name, self._wrapper(array))
            self._request.start_async()
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a frame: {cause(error)}") from error

    def close(self) -> None:
        self._request = None
        self._wrappers.clear()

    def _wrapper(self, array: Array) -> Any:
        openvino = _openvino()
        if not array.flags.writeable:
            return openvino.Tensor(array)  # OpenVINO shares writable memory only: this copies
        key = id(array)
        if key in self._wrappers:
            self._wrappers.move_to_end(key)
        else:
            self._wrappers[key] = (array, openvino.Tensor(array, shared_memory=True))
            if len(self._wrappers) > _WRAPPERS:
                self._wrappers.popitem(last=False)
        return self._wrappers[key][1]


def _openvino() -> Any:
    """The module openvino, without its model converter.

    The converter is imported with it, and starts a telemetry client that reports to its maker
    without asking. Nobody here needs either.

    Raises:
        ImportError: it is not installed.
    """
    missing = "openvino" not in sys.modules and _CONVERTER not in sys.modules
    if missing:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # means: cannot be imported
    try:
        import openvino
    finally:
        if missing:
            del sys.modules[_CONVERTER]
    return openvino


@cache
def _core() -> Any:
    return _openvino().Core()


def _version() -> str:
    openvino = _openvino()
    return str(openvino.__version__).partition("-")[0]


def read_model(graph: bytes) -> Any:
    """An ONNX graph as an `openvino.Model`.

    Raises:
        EngineError: OpenVINO refuses it.
    """
    try:
        return _core().read_model(io.BytesIO(graph))
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile the graph: {cause(error)}") from error


def compile_model(
    model: Any, device: str, precision: str, threads: int, properties: Mapping[str, Any]
) -> Any:
    """An `openvino.CompiledModel` for one frame at a time.

    Args:
        model: see `read_model`.
        device, precision, threads: in our words.
        properties: more of them, in OpenVINO's words; on the CPU alone.

    Raises:
        EngineError: OpenVINO refuses the model, or takes another precision.
    """
    types = _openvino().Type
    element = {"bf16": types.bf16, "fp16": types.f16, "fp32": types.f32}[precision]
    config = {"INFERENCE_PRECISION_HINT": element, "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        config |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads} | dict(properties)
    try:
        compiled = _core().compile_model(model, device, config)
        taken = compiled.get_property("INFERENCE_PRECISION_HINT")
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile the graph: {cause(error)}") from error
    if taken != element:
        raise EngineError(f"OpenVINO took {taken} where {precision} was asked for")
    return compiled
