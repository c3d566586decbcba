"""TensorRT 10, TensorRT 11 and TensorRT for RTX: one back end, told apart by `Flavour`.

Their engines are built ahead (streamfx.engines.build) into a cache; `load` takes one from there
and never builds. Graphs are strongly typed (streamfx.engines.typed).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from streamfx.engines import graph as graphs
from streamfx.engines.base import (
    Available,
    EngineInfo,
    EngineOptions,
    Progress,
    Unavailable,
    cause,
    run_on_zeros,
    silent,
)
from streamfx.engines.build import TIME_LIMIT, Job, build_plan
from streamfx.engines.cache import EngineCache, Key, graph_digest
from streamfx.engines.cuda import MODULE as CUDA_MODULE
from streamfx.engines.cuda import Cuda
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import Gpu, find_gpu
from streamfx.engines.tensorrt_engine import Plan, TensorRTEngine

# Below this, convolutions know no bf16.
_OLDEST_BF16 = 80


@dataclass(frozen=True)
class Flavour:
    """What differs between the TensorRTs.

    Attributes:
        backend: the name of the back end.
        module: the Python module.
        title: what its maker calls it.
        install: the command that brings it.
        ahead: the SMs that it can build for on any machine; None = it builds for the GPU that it
            runs on alone, and its engines are tied to that.
    """

    backend: str
    module: str
    title: str
    install: str
    ahead: tuple[int, ...] | None


RTX = Flavour(
    backend="tensorrt-rtx",
    module="tensorrt_rtx",
    title="TensorRT for RTX",
    install="pip install 'streamfx[tensorrt-rtx]'",
    ahead=(75, 80, 86, 89, 120, 121),
)
TENSORRT = Flavour(
    backend="tensorrt",
    module="tensorrt",
    title="TensorRT",
    install="pip install 'streamfx[tensorrt]'",
    ahead=None,
)
FLAVOURS = {flavour.backend: flavour for flavour in (RTX, TENSORRT)}


class TensorRTBackend:
    """See `Backend`; fp16 unless something else is asked for.

    Args:
        cache: None = the user's own.
    """

    def __init__(self, flavour: Flavour, cache: EngineCache | None = None) -> None:
        self.flavour = flavour
        self.name = flavour.backend
        self._cache = cache

    @property
    def cache(self) -> EngineCache:
        return self._cache or EngineCache()

    def probe(self) -> Available | Unavailable:
        gpu = find_gpu()  # before anything that crashes without a driver
        if isinstance(gpu, Unavailable):
            return gpu
        installed = self.installed()
        if isinstance(installed, Unavailable):
            return installed
        ahead = self.flavour.ahead
        if ahead is not None and gpu.sm not in ahead:
            return Unavailable(
                f"{self.flavour.title} does not run on {gpu.name} (SM {gpu.sm}; it knows "
                f"{', '.join(map(str, ahead))})",
                TENSORRT.install,
            )
        try:
            self._modules()
            bindings = int(version("cuda-bindings").split(".")[0])
        except (ImportError, PackageNotFoundError, OSError) as error:
            return Unavailable(
                f"{self.flavour.title} cannot be imported ({cause(error)})", self.flavour.install
            )
        if gpu.cuda[0] < bindings:
            return Unavailable(
                f"the NVIDIA driver takes CUDA {gpu.cuda[0]}.{gpu.cuda[1]}, and CUDA {bindings} is "
                "needed",
                "update the driver",
            )
        return Available(installed, gpu.name, _precisions(gpu.sm))

    def installed(self) -> str | Unavailable:
        """The version of the library here, found without loading it."""
        for package in _packages(self.flavour.module):
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return Unavailable(f"{self.flavour.title} is not installed", self.flavour.install)

    def ready(
        self, graph: bytes, *, size: tuple[int, int], batch: int, options: EngineOptions
    ) -> bool:
        try:
            self._find(graph, size, batch, options)
        except EngineError:
            return False
        return True

    def build(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int,
        options: EngineOptions,
        progress: Progress = silent,
    ) -> None:
        self.build_for(graph, size=size, batch=batch, options=options, progress=progress)

    def build_for(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int,
        options: EngineOptions,
        capabilities: tuple[int, ...] = (),
        limit: float = TIME_LIMIT,
        progress: Progress = silent,
    ) -> Path:
        """Build an engine into the cache, in a process of its own.

        Args:
            capabilities: the SMs to build for, where that can be chosen; none = the GPU's here.
            limit: seconds after which the build is stopped.

        Raises:
            EngineError: see `Backend.build`.
        """
        installed = self.installed()
        if isinstance(installed, Unavailable):
            raise EngineError(f"{installed.reason}; try: {installed.fix}")
        capabilities, device = self._target(capabilities)
        precision = "fp16" if options.precision == "auto" else options.precision
        if precision == "bf16" and min(capabilities) < _OLDEST_BF16:
            raise EngineError(f"SM {min(capabilities)} has no bf16; use fp16")
        _, spec = graphs.read_graph(graph)
        graphs.tensor_specs(spec, size, batch)
        job = Job(
            module=self.flavour.module,
            height=size[0],
            width=size[1],
            batch=batch,
            precision=precision,
            capabilities=capabilities if self.flavour.ahead is not None else (),
        )
        plan = build_plan(job, graph, limit=limit, progress=progress)
        devices = (device,) if device else tuple(f"sm{sm}" for sm in capabilities)
        return self.cache.store(
            Key(self.name, installed, graph_digest(graph), *size, batch, precision, devices), plan
        )

    def load(
        self,
        graph: bytes,
        *,
        size: tuple[int, int],
        batch: int = 1,
        options: EngineOptions,
    ) -> TensorRTEngine:
        found = self.probe()
        if isinstance(found, Unavailable):
            raise EngineError(f"{found.reason}; try: {found.fix}")
        precision = found.settle(options.precision, self.name)
        _, spec = graphs.read_graph(graph)
        inputs, outputs = graphs.tensor_specs(spec, size, batch)
        try:
            path = self._find(graph, size, batch, options)
        except EngineError as error:
            raise EngineError(
                f"{error}; build it: streamfx engines build PACK --backend {self.name} "
                f"--size {size[1]}x{size[0]} --precision {precision}"
            ) from error
        trt, cuda = self._modules()
        info = EngineInfo(self.name, found.device, precision, 1, found.version)
        running = TensorRTEngine(info, inputs, outputs, self._plan(path, trt), Cuda(cuda))
        try:
            run_on_zeros(running)
            running.capture()
        except EngineError:
            running.close()
            raise
        return running

    def _find(
        self, graph: bytes, size: tuple[int, int], batch: int, options: EngineOptions
    ) -> Path:
        installed = self.installed()
        if isinstance(installed, Unavailable):
            raise EngineError(installed.reason)
        gpu = find_gpu()
        if isinstance(gpu, Unavailable):
            raise EngineError(gpu.reason)
        precision = "fp16" if options.precision == "auto" else options.precision
        digest = graph_digest(graph)
        key = Key(self.name, installed, digest, *size, batch, precision, (self._device(gpu),))
        return self.cache.find(key)

    def _device(self, gpu: Gpu) -> str:
        return f"sm{gpu.sm}" if self.flavour.ahead is not None else f"{gpu.name} sm{gpu.sm}"

    def _target(self, capabilities: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """The SMs to build for, and the one device that the engine is tied to, if it is."""
        ahead = self.flavour.ahead
        if ahead is None and capabilities:
            raise EngineError(
                f"{self.flavour.title} builds for the GPU that it runs on; leave out --sm, or use "
                f"--backend {RTX.backend}"
            )
        unknown = [sm for sm in capabilities if sm not in (ahead or ())]
        if unknown:
            raise EngineError(
                f"{self.flavour.title} does not build for SM {unknown[0]}; it knows "
                f"{', '.join(map(str, ahead or ()))}"
            )
        if capabilities:
            return tuple(sorted(set(capabilities))), ""
        gpu = find_gpu()
        if isinstance(gpu, Unavailable):
            choice = "; or say with --sm what to build for" if ahead else ""
            raise EngineError(f"there is no GPU to build for ({gpu.reason}){choice}")
        return self._target((gpu.sm,)) if ahead else ((gpu.sm,), self._device(gpu))

    def _modules(self) -> tuple[Any, Any]:
        return import_module(self.flavour.module), import_module(CUDA_MODULE)

    def _plan(self, path: Path, trt: Any) -> Plan:
        """The loaded engine of a file, shared by all streams that run it."""
        with _plans_lock:
            shared = _plans.get(path)
            if shared is None:
                _, data = self.cache.read(path)
                shared = _plans[path] = Plan(trt, data, str(path))
            return shared


_plans: WeakValueDictionary[Path, Plan] = WeakValueDictionary()
_plans_lock = threading.Lock()


def _precisions(sm: int) -> tuple[str, ...]:
    return ("fp16", "bf16", "fp32") if sm >= _OLDEST_BF16 else ("fp16", "fp32")


def _packages(module: str) -> tuple[str, ...]:
    """The packages that bring a module, by the CUDA version that they are for."""
    name = module.replace("_", "-")
    return (f"{name}-cu13", f"{name}-cu12", name)
