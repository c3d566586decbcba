"""Holding a built engine against its file, its maker and what the graph computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamfx.engines.base import (
    Array,
    Available,
    Engine,
    EngineOptions,
    TensorSpec,
    Unavailable,
    cause,
)
from streamfx.engines.cache import EngineCache, Entry, graph_digest
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_graph
from streamfx.engines.nv12 import to_nv12
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt import FLAVOURS, TensorRTBackend

# Mean difference of a plane to fp32, in grey levels, above which an engine is bad. Half
# precision costs about half a level.
LARGEST_DIFFERENCE = 2.0


@dataclass(frozen=True)
class Verdict:
    """Whether an engine may be used, and what is known about it."""

    good: bool
    words: str


def verify_engine(cache: EngineCache, entry: Entry, graph: bytes) -> Verdict:
    """Check one file of the cache as far as this machine can; never raises.

    Args:
        graph: the graph that it should have been built from.
    """
    try:
        key, _ = cache.read(entry.path)
        flavour = FLAVOURS.get(key.backend)
        if flavour is None:
            return Verdict(False, f"this version knows no back end {key.backend!r}")
        backend = TensorRTBackend(flavour, cache)
        installed = backend.installed()
        if isinstance(installed, str) and installed != key.version:
            return Verdict(
                False, f"out of date: {key.version} built it, this is {installed}; build it again"
            )
        found = backend.probe()
        if isinstance(found, Unavailable):
            return Verdict(True, f"whole; not run, for {found.reason}")
        if key.graph == graph_digest(graph):
            return _run(backend, entry, graph, found)
        turned = to_nv12(read_graph(graph)[0]).SerializeToString()
        if key.graph == graph_digest(turned):
            return _run(backend, entry, turned, found)
        return Verdict(True, "whole; not run, for it is of another pack")
    except EngineError as error:
        return Verdict(False, cause(error))


def difference(engine: Engine, reference: Engine, seed: int = 0) -> float:
    """Mean difference of the restyled planes on a random smooth frame, in grey levels 0..255."""
    rng = np.random.default_rng(seed)
    inputs = {name: _values(name, spec, rng) for name, spec in engine.inputs.items()}
    found = []
    for each in (engine, reference):
        outputs = {name: np.empty(spec.shape, spec.dtype) for name, spec in each.outputs.items()}
        each.run(inputs, outputs)
        planes = [array.ravel() for array in outputs.values() if array.dtype == np.uint8]
        found.append(np.concatenate(planes))
    return float(np.abs(found[0].astype(np.float32) - found[1].astype(np.float32)).mean())


def _run(backend: TensorRTBackend, entry: Entry, graph: bytes, found: Available) -> Verdict:
    key = entry.key
    assert key is not None  # the file was read
    size = (key.height, key.width)
    options = EngineOptions(precision=key.precision)  # type: ignore[arg-type]
    if not backend.ready(graph, size=size, batch=key.batch, options=options):
        return Verdict(True, f"whole; not run, for it is not for {found.device}")
    engine = backend.load(graph, size=size, batch=key.batch, options=options)
    reference = ONNXRuntimeBackend().load(
        graph, size=size, batch=key.batch, options=EngineOptions(precision="fp32")
    )
    try:
        levels = difference(engine, reference)
    finally:
        engine.close()
        reference.close()
    words = f"whole; differs from fp32 on the CPU by {levels:.2f} grey levels of 255"
    return Verdict(levels <= LARGEST_DIFFERENCE, words)


def _values(name: str, spec: TensorSpec, rng: np.random.Generator) -> Array:
    """A picture of soft blobs for planes, numbers in range for what is not one."""
    if name in ("style", "strength", "trust"):
        return rng.uniform(0, 1, spec.shape).astype(np.float32)
    if name in ("state", "motion", "texture"):
        return np.zeros(spec.shape, np.float32)
    if name == "uv":
        n, height, width, c = spec.shape
        return np.ascontiguousarray(_blobs((n, c, height, width), rng).transpose(0, 2, 3, 1))
    return _blobs(spec.shape, rng).astype(spec.dtype)


def _blobs(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    n, c, height, width = shape
    coarse = rng.integers(0, 256, (n, c, -(-height // 16), -(-width // 16)))
    fine = np.kron(coarse, np.ones((16, 16)))[:, :, :height, :width]
    return np.ascontiguousarray(fine.astype(np.uint8))
