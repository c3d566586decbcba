"""What finds, loads and runs a built engine, on a machine without a GPU.

CUDA and TensorRT's runtime are the doubles of devices.py, in which ONNX Runtime computes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graphs
from devices import FP32, Cuda, TensorRT
from streamfx import engines
from streamfx.engines import tensorrt as tensorrt_module
from streamfx.engines.base import EngineOptions
from streamfx.engines.build import Job
from streamfx.engines.cache import EngineCache, Key, graph_digest
from streamfx.engines.contract import GraphSpec
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_graph
from streamfx.engines.nv12 import to_nv12
from streamfx.engines.nvidia import Gpu
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.openvino import OpenVINOBackend
from streamfx.engines.tensorrt import RTX, TENSORRT, TensorRTBackend
from streamfx.engines.upgrade import UpgradingEngine
from streamfx.engines.verify import difference, verify_engine

SIZE = (96, 128)
GRAPH = graphs.generator().SerializeToString()
FP16 = EngineOptions(precision="fp16")
RTX_4090 = Gpu("NVIDIA Test 4090", (8, 9), cuda=(13, 1))


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


@pytest.fixture
def backend(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[TensorRTBackend]:
    """A back end on a machine with a card, with one engine in its cache."""
    made = TensorRTBackend(RTX, EngineCache(tmp_path))
    modules = (TensorRT(cuda, GRAPH), cuda)
    monkeypatch.setattr(TensorRTBackend, "_modules", lambda _self: modules)
    monkeypatch.setattr(TensorRTBackend, "installed", lambda _self: "1.7")
    monkeypatch.setattr(tensorrt_module, "find_gpu", lambda: RTX_4090)
    monkeypatch.setattr(tensorrt_module, "version", lambda _package: "13.1.0")
    yield made


def key(**changes: Any) -> Key:
    facts: dict[str, Any] = {
        "backend": "tensorrt-rtx",
        "version": "1.7",
        "graph": graph_digest(GRAPH),
        "height": SIZE[0],
        "width": SIZE[1],
        "batch": 1,
        "precision": "fp16",
        "devices": ("sm86", "sm89"),
    }
    return Key(**facts | changes)


def test_a_built_engine_runs_as_the_graph_says(backend: TensorRTBackend, cuda: Cuda) -> None:
    backend.cache.store(key(), TensorRT.good)
    assert backend.ready(GRAPH, size=SIZE, batch=1, options=EngineOptions())
    engine = backend.load(GRAPH, size=SIZE, options=EngineOptions())
    info = engine.info
    assert (info.backend, info.device, info.precision) == (RTX.backend, RTX_4090.name, "fp16")
    reference = ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)
    for seed in range(3):
        assert difference(engine, reference, seed) == 0
    assert cuda.launches == 3  # each frame is one launch of the captured graph
    engine.close()
    engine.close()
    assert not cuda.memory
    assert not cuda.own_streams
    assert not cuda.graphs
    with pytest.raises(EngineError, match="closed"):
        engine.run({}, {})


def test_streams_share_an_engine_and_nothing_else(backend: TensorRTBackend, cuda: Cuda) -> None:
    backend.cache.store(key(), TensorRT.good)
    first, second = (backend.load(GRAPH, size=SIZE, options=FP16) for _ in range(2))
    trt, _ = backend._modules()
    assert trt.loaded == 1
    assert first._context is not second._context
    addresses = [{memory.address for memory in each._buffers.values()} for each in (first, second)]
    assert addresses[0].isdisjoint(addresses[1])
    first.close()
    reference = ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)
    assert difference(second, reference) == 0
    second.close()
    assert not cuda.memory


def test_without_a_cuda_graph_frames_still_run(
    backend: TensorRTBackend, cuda: Cuda, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.can_capture = False
    backend.cache.store(key(), TensorRT.good)
    with caplog.at_level(logging.INFO):
        engine = backend.load(GRAPH, size=SIZE, options=FP16)
    assert "without a CUDA graph: cudaStreamEndCapture failed: 900" in caplog.text
    assert difference(engine, ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)) == 0
    assert cuda.launches == 0


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaMemcpyAsync"])
def test_a_failing_device_is_an_engine_error(
    call: str, backend: TensorRTBackend, cuda: Cuda
) -> None:
    backend.cache.store(key(), TensorRT.good)
    cuda.fails = {call}
    with pytest.raises(EngineError, match=f"{call} failed: 2"):
        backend.load(GRAPH, size=SIZE, options=FP16)
    assert not cuda.own_streams


@pytest.mark.parametrize(
    ("changes", "plan", "message"),
    [
        ({}, b"a plan of another version", "TensorRT refuses .*build it again"),
        ({"version": "1.6"}, b"plan", "out of date: 1.6 built it.*streamfx engines build"),
        ({"devices": ("sm120",)}, b"plan", "built for sm120, not sm89.*--backend tensorrt-rtx"),
        ({"graph": "0" * 64}, b"plan", "no tensorrt-rtx engine .*--size 128x96 --precision fp16"),
    ],
)
def test_other_engines_are_refused_with_the_reason(
    changes: dict[str, Any], plan: bytes, message: str, backend: TensorRTBackend
) -> None:
    backend.cache.store(key(**changes), plan)
    assert backend.ready(GRAPH, size=SIZE, batch=1, options=FP16) is not bool(changes)
    with pytest.raises(EngineError, match=message):
        backend.load(GRAPH, size=SIZE, options=FP16)


def test_a_cut_off_engine_never_reaches_the_runtime(backend: TensorRTBackend) -> None:
    path = backend.cache.store(key(), TensorRT.good)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EngineError, match="cut off"):
        backend.load(GRAPH, size=SIZE, options=FP16)
    trt, _ = backend._modules()
    assert trt.loaded == 0


def test_an_engine_of_other_tensors_is_refused(backend: TensorRTBackend) -> None:
    spec = GraphSpec(style_size=4, state_channels=2, margin=8, stride=16, motion=True)
    moving = graphs.generator(spec).SerializeToString()
    backend.cache.store(key(graph=graph_digest(moving)), TensorRT.good)
    with pytest.raises(EngineError, match="lacks or adds tensors: motion, past_c"):
        backend.load(moving, size=SIZE, options=FP16)


def test_engines_are_verified(backend: TensorRTBackend) -> None:
    cache = backend.cache
    cache.store(key(), TensorRT.good)
    cache.store(key(version="1.6"), TensorRT.good)
    cache.store(key(graph="0" * 64), TensorRT.good)
    cache.store(key(devices=("sm120",), precision="bf16"), TensorRT.good)
    (cache.folder / "x.engine").write_bytes(b"garbage")
    verdicts = [verify_engine(cache, entry, GRAPH) for entry in cache.entries()]
    assert sorted((verdict.good, verdict.words.split(";")[0]) for verdict in verdicts) == [
        (False, f"{cache.folder}/x.engine is not an engine file of this program"),
        (False, "out of date: 1.6 built it, this is 1.7"),
        (True, "whole"),
        (True, "whole"),
        (True, "whole"),
    ]
    words = " ".join(verdict.words for verdict in verdicts)
    assert "differs from fp32 on the CPU by 0.00 grey levels" in words
    assert "it is of another pack" in words
    assert "it is not for NVIDIA Test 4090" in words


def test_an_engine_for_frames_on_the_card_is_verified(
    backend: TensorRTBackend, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = to_nv12(read_graph(GRAPH)[0]).SerializeToString()
    modules = (TensorRT(cuda, turned), cuda)
    monkeypatch.setattr(TensorRTBackend, "_modules", lambda _self: modules)
    backend.cache.store(key(graph=graph_digest(turned)), TensorRT.good)
    (entry,) = backend.cache.entries()
    verdict = verify_engine(backend.cache, entry, GRAPH)
    assert verdict.good
    assert "by 0.00 grey levels" in verdict.words


def test_auto_starts_on_the_cpu_and_goes_over_to_the_card(
    backend: TensorRTBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def built(job: Job, *_: object, **__: object) -> bytes:
        jobs.append(job)
        return TensorRT.good

    monkeypatch.setattr(tensorrt_module, "build_plan", built)
    monkeypatch.setattr(engines, "_failed", set())
    monkeypatch.setattr(engines, "backends", lambda: (backend, OpenVINOBackend()))
    engine = engines.load(GRAPH, SIZE)
    assert isinstance(engine, UpgradingEngine)
    assert engine.info.backend == "openvino"
    assert engine.wait(60)
    assert difference(engine, ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)) == 0
    assert engine.info.backend == "tensorrt-rtx"
    (job,) = jobs
    assert (job.capabilities, job.precision, (job.height, job.width)) == ((89,), "fp16", SIZE)
    engine.close()


@pytest.mark.parametrize(
    ("gpu", "flavour", "reason"),
    [
        (Gpu("NVIDIA H100", (9, 0), (13, 1)), RTX, "does not run on NVIDIA H100 .SM 90"),
        (Gpu("NVIDIA Test", (8, 9), (12, 4)), TENSORRT, "takes CUDA 12.4, and CUDA 13 is needed"),
        (engines.Unavailable("no driver", "get one"), RTX, "no driver"),
    ],
)
def test_probe_says_what_is_wrong(
    gpu: Any, flavour: Any, reason: str, backend: TensorRTBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_module, "find_gpu", lambda: gpu)
    found = TensorRTBackend(flavour, backend.cache).probe()
    assert isinstance(found, engines.Unavailable)
    assert re.search(reason, found.reason)
    assert found.fix


def test_probe_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_module, "find_gpu", lambda: RTX_4090)
    monkeypatch.setattr(tensorrt_module, "_packages", lambda _module: ("no-such-package",))
    found = TensorRTBackend(TENSORRT).probe()
    assert found == engines.Unavailable("TensorRT is not installed", TENSORRT.install)


def test_tensorrt_is_tied_to_the_card(backend: TensorRTBackend) -> None:
    plain = TensorRTBackend(TENSORRT, backend.cache)
    found = plain.probe()
    assert isinstance(found, engines.Available)
    assert found.precisions == ("fp16", "bf16", "fp32")
    with pytest.raises(EngineError, match="leave out --sm, or use --backend tensorrt-rtx"):
        plain.build_for(GRAPH, size=SIZE, batch=1, options=FP16, capabilities=(89,))
    plain.cache.store(key(backend="tensorrt", devices=("NVIDIA Test 4090 sm89",)), TensorRT.good)
    assert plain.ready(GRAPH, size=SIZE, batch=1, options=FP16)
    plain.cache.clear()
    plain.cache.store(key(backend="tensorrt", devices=("NVIDIA Test 4080 sm89",)), TensorRT.good)
    assert not plain.ready(GRAPH, size=SIZE, batch=1, options=FP16)
