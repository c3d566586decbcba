"""Arrays on the GPU as an engine's inputs and outputs: what is bound, what is copied, what waits.

CUDA and TensorRT are the doubles of devices.py.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphs
from devices import FP32, Cuda, engine
from streamfx import engines
from streamfx.engines import Unavailable
from streamfx.engines.base import run_on_zeros
from streamfx.engines.cuda import LEGACY_STREAM, DeviceArray
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_spec
from streamfx.engines.nv12 import to_nv12
from streamfx.engines.nvidia import find_gpu
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt_engine import TensorRTEngine, Tensors

SIZE = (48, 64)
SPEC = replace(graphs.SPEC, motion=True)
GRAPH = to_nv12(graphs.generator(SPEC)).SerializeToString()
PAST = read_spec(GRAPH).recurrent
BYTE = np.dtype(np.uint8)


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


def make(cuda: Cuda, batch: int = 1) -> TensorRTEngine:
    made = engine(cuda, GRAPH, SIZE, batch)
    run_on_zeros(made)
    made.capture()
    return made


def reference() -> engines.Engine:
    return ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)


def frame(engine: engines.Engine, seed: int) -> dict[str, engines.Array]:
    """Everything that a caller brings with a frame."""
    return graphs.noise(engine, seed, without=PAST)


def empty(engine: engines.Engine) -> dict[str, engines.Array]:
    return {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}


def past_of(outputs: dict[str, engines.Array]) -> dict[str, engines.Array]:
    return {name: outputs[f"{name}_out"] for name in PAST}


def planes_of(outputs: dict[str, engines.Array]) -> dict[str, engines.Array]:
    return {name: array for name, array in outputs.items() if name in ("y_out", "uv_out")}


def test_the_past_stays_on_the_gpu_and_takes_turns(cuda: Cuda) -> None:
    engine, alone = make(cuda), reference()
    now, then = ({name: engine.place(name) for name in PAST} for _ in range(2))
    wanted_past = {name: np.zeros(alone.inputs[name].shape, np.float32) for name in PAST}
    sizes = {name: array.nbytes for name, array in frame(alone, 0).items()}
    launches = cuda.launches
    for seed in range(8):
        fresh = frame(alone, seed)
        outputs, wanted = empty(alone), empty(alone)
        alone.run(fresh | wanted_past, wanted)
        wanted_past = past_of(wanted)
        cuda.moved = dict.fromkeys(cuda.moved, 0)
        following = {f"{name}_out": array for name, array in then.items()}
        engine.run({**fresh, **now}, {**planes_of(outputs), **following})
        now, then = then, now
        for name, array in planes_of(wanted).items():
            np.testing.assert_array_equal(outputs[name], array)
        planes = sum(array.nbytes for array in planes_of(outputs).values())
        # Up goes what the caller has, down comes the picture; nothing is copied on the GPU.
        assert cuda.moved == {1: sum(sizes.values()), 2: planes, 3: 0}
    # Each of the two turns runs once as it is; from then on it is one launch.
    assert cuda.launches - launches == 6
    assert len(engine._graphs) == 3
    for name in PAST:
        found = engine.cuda.to_host(now[name], LEGACY_STREAM)
        np.testing.assert_array_equal(found, wanted_past[name])
    engine.close()
    del now, then, following, found
    gc.collect()
    assert not cuda.memory
    assert not cuda.own_streams
    assert not cuda.graphs


def test_a_past_of_the_host_is_taken_over(cuda: Cuda) -> None:
    """What an engine on the CPU left is the first past of the one on the GPU."""
    engine, alone = make(cuda), reference()
    first, second = empty(alone), empty(alone)
    zeros = {name: np.zeros(alone.inputs[name].shape, np.float32) for name in PAST}
    alone.run(frame(alone, 1) | zeros, first)
    alone.run(frame(alone, 2) | past_of(first), second)
    outputs = empty(alone)
    there = {f"{name}_out": engine.place(name) for name in PAST}
    engine.run({**frame(alone, 2), **past_of(first)}, {**planes_of(outputs), **there})
    np.testing.assert_array_equal(outputs["y_out"], second["y_out"])
    for name in PAST:
        found = engine.cuda.to_host(there[f"{name}_out"], LEGACY_STREAM)
        np.testing.assert_array_equal(found, second[f"{name}_out"])


def pitched(engine: TensorRTEngine, name: str, pitch: int) -> DeviceArray:
    """Room for a plane whose rows lie `pitch` apart."""
    spec = {**engine.inputs, **engine.outputs}[name]
    row = SIZE[1]
    rows = int(np.prod(spec.shape)) // row
    room = engine.cuda.zeros((rows * pitch,), BYTE)
    return DeviceArray(room.address, spec.shape, BYTE, row, pitch, owner=room.owner)


@pytest.mark.parametrize("pitch", [64, 65, 256])
def test_pitched_surfaces_are_copied_once_each_way(cuda: Cuda, pitch: int) -> None:
    engine, alone = make(cuda), reference()
    given = frame(alone, 3)
    zeros = {name: np.zeros(alone.inputs[name].shape, np.float32) for name in PAST}
    wanted = empty(alone)
    alone.run(given | zeros, wanted)
    inputs: dict[str, engines.Array | DeviceArray] = {**given, **zeros}
    outputs: dict[str, engines.Array | DeviceArray] = dict(empty(alone))
    outputs |= {name: pitched(engine, name, pitch) for name in ("y_out", "uv_out")}
    surfaces = {name: pitched(engine, name, pitch) for name in ("y", "uv")}
    for name, surface in surfaces.items():
        plane = given[name].reshape(-1, SIZE[1])

        def write(surface: DeviceArray = surface, plane: engines.Array = plane) -> None:
            for row, line in enumerate(plane):
                cuda.at(surface.address + row * pitch, line.size)[:] = line

        # Nothing is there before the decoder's stream has been waited for.
        cuda.enqueue(LEGACY_STREAM, write)
        inputs[name] = replace(surface, ready=engine.cuda.record())
    cuda.moved = dict.fromkeys(cuda.moved, 0)
    engine.run(inputs, outputs)
    assert cuda.moved[3] == 2 * (SIZE[0] * SIZE[1] * 3 // 2)
    for name in ("y_out", "uv_out"):
        array = outputs[name]
        assert isinstance(array, DeviceArray)
        np.testing.assert_array_equal(engine.cuda.to_host(array, LEGACY_STREAM), wanted[name])
        gaps = cuda.at(array.address, array.rows * pitch).reshape(-1, pitch)[:, SIZE[1] :]
        assert not gaps.any()


def test_an_engine_of_several_frames_runs_each_beside_the_others(cuda: Cuda) -> None:
    engine, alone = make(cuda, batch=3), reference()
    single = make(cuda)
    zeros = {name: np.zeros(alone.inputs[name].shape, np.float32) for name in PAST}
    frames: list[tuple[Tensors, Tensors]] = []
    wanted = []
    for seed in range(3):
        given = frame(alone, seed)
        wanted.append(empty(alone))
        alone.run(given | zeros, wanted[-1])
        there = {f"{name}_out": single.place(name) for name in PAST}
        frames.append(({**given, **zeros}, {**planes_of(empty(alone)), **there}))
    engine.run_each(frames)
    for (_, outputs), want in zip(frames, wanted, strict=True):
        for name, array in outputs.items():
            there = isinstance(array, DeviceArray)
            found = engine.cuda.to_host(array, LEGACY_STREAM) if there else array
            np.testing.assert_array_equal(found, want[name])
    with pytest.raises(EngineError, match="takes 3 frames at a time, not 2"):
        engine.run_each(frames[:2])


def test_wrong_arrays_are_refused(cuda: Cuda) -> None:
    engine, alone = make(cuda), reference()
    zeros = {name: np.zeros(alone.inputs[name].shape, np.float32) for name in PAST}
    inputs, outputs = frame(alone, 0) | zeros, empty(alone)
    small = engine.cuda.zeros((1, 1, 2, 2), BYTE)
    with pytest.raises(
        EngineError, match=r"y on the GPU is uint8 \[1, 1, 2, 2\]; the engine takes"
    ):
        engine.run({**inputs, "y": small}, outputs)
    with pytest.raises(EngineError, match="missing or unknown: trust"):
        engine.run({name: a for name, a in inputs.items() if name != "trust"}, outputs)
    with pytest.raises(EngineError, match="z on the GPU"):
        engine.run({**inputs, "z": small}, outputs)
    with pytest.raises(EngineError, match="y lies in a GPU's memory, where this engine cannot"):
        alone.run({**inputs, "y": small}, outputs)  # type: ignore[dict-item]
    uneven = DeviceArray(small.address, (1, 1, 48, 64), BYTE, 32, 40, owner=small.owner)
    other = DeviceArray(small.address, (1, 1, 48, 64), BYTE, 64, 70, owner=small.owner)
    with pytest.raises(EngineError, match="rows of two pitched arrays differ"):
        engine.cuda.copy(uneven, other, LEGACY_STREAM)
    with pytest.raises(EngineError, match="4 bytes do not fit into 3072"):
        engine.cuda.copy(other, small, LEGACY_STREAM)
    engine.close()
    for call in (lambda: engine.place("y"), lambda: engine.run(inputs, outputs)):
        with pytest.raises(EngineError, match="closed"):
            call()


@pytest.mark.skipif(not isinstance(find_gpu(), Unavailable), reason="there is a GPU")
@pytest.mark.parametrize(
    "work",
    [
        lambda cuda: cuda.create_stream(),
        lambda cuda: cuda.synchronize(LEGACY_STREAM),
        lambda cuda: cuda.record(),
        lambda cuda: cuda.wait(LEGACY_STREAM, SimpleNamespace(handle=0)),
        lambda cuda: cuda.zeros((2,), BYTE),
        lambda cuda: cuda.upload(1 << 40, np.zeros(4, np.uint8), LEGACY_STREAM),
        lambda cuda: cuda.download(1 << 40, np.zeros(4, np.uint8), LEGACY_STREAM),
        lambda cuda: cuda.copy_rows(1 << 40, 8, 1 << 41, 8, 4, 2, LEGACY_STREAM),
        lambda cuda: cuda.call("Memset", 1 << 40, 0, 8),
        lambda cuda: cuda.call("EventRecord", 0, LEGACY_STREAM),
        lambda cuda: cuda.call("StreamDestroy", 0),
        lambda cuda: cuda.call("Free", 1 << 40),
    ],
)
def test_the_real_bindings_take_every_call(work: Callable[[Any], object]) -> None:
    """Without a driver they refuse the work, and not the arguments."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="no cuda-bindings here")
    with pytest.raises(EngineError, match="failed: cudaError"):
        work(Runtime(runtime))


def test_numbers_are_those_of_the_real_bindings() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="no cuda-bindings here")
    for kind in vars(Cuda.cudaMemcpyKind):
        assert hasattr(runtime.cudaMemcpyKind, kind)
    assert int(runtime.cudaStreamNonBlocking) == 1
    assert int(runtime.cudaEventDisableTiming) == 2
    assert int(runtime.cudaStreamLegacy) == LEGACY_STREAM
