"""What an engine can keep on its device stays there, across a switch from one that cannot."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphs
from devices import FP32, Cuda, engine
from streamfx import engines
from streamfx.engines.cuda import DeviceArray
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_spec
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.residence import Resident, room
from streamfx.engines.tensorrt_engine import TensorRTEngine
from streamfx.engines.upgrade import UpgradingEngine

SIZE = (48, 64)
GRAPH = graphs.generator(replace(graphs.SPEC, motion=True)).SerializeToString()
PAST = read_spec(GRAPH).recurrent


def on_the_cpu() -> engines.Engine:
    return ONNXRuntimeBackend().load(GRAPH, size=SIZE, options=FP32)


def on_the_gpu(cuda: Cuda) -> TensorRTEngine:
    return engine(cuda, GRAPH, SIZE)


class Chain:
    """Runs frames as a stylizer does: what one leaves is the next one's past, arrays in turns."""

    def __init__(self, engine: engines.Engine) -> None:
        self.engine = engine
        self.past: dict[str, Any] = {}
        self.spare: dict[str, Any] = {}

    def __call__(self, seed: int) -> engines.Array:
        rng = np.random.default_rng(seed)
        inputs: dict[str, Any] = {}
        for name, spec in self.engine.inputs.items():
            if name in PAST:
                inputs[name] = self.past.get(name, np.zeros(spec.shape, spec.dtype))
            elif spec.dtype == np.uint8:
                inputs[name] = rng.integers(0, 256, spec.shape, np.uint8)
            else:
                inputs[name] = rng.uniform(0, 1, spec.shape).astype(np.float32)
        outputs = {
            f"{name}_out": room(self.engine, f"{name}_out", self.spare.get(name)) for name in PAST
        }
        for name, spec in self.engine.outputs.items():
            if name not in outputs:
                outputs[name] = np.empty(spec.shape, spec.dtype)
        self.engine.run(inputs, outputs)
        self.spare, self.past = self.past, {name: outputs[f"{name}_out"] for name in PAST}
        return outputs["y_out"]  # type: ignore[no-any-return]


def test_arrays_take_turns_where_the_engine_works() -> None:
    cuda = Cuda()
    chain, alone = Chain(on_the_gpu(cuda)), Chain(on_the_cpu())
    for seed in range(6):
        np.testing.assert_array_equal(chain(seed), alone(seed))
        assert all(isinstance(array, DeviceArray) for array in chain.past.values())
        assert all(isinstance(array, np.ndarray) for array in alone.past.values())
        if seed == 2:
            held = {array.address for each in (chain.past, chain.spare) for array in each.values()}
    found = {array.address for each in (chain.past, chain.spare) for array in each.values()}
    assert found == held
    assert len(held) == 2 * len(PAST)


def test_a_past_of_the_cpu_goes_up_once_at_the_switch() -> None:
    cuda = Cuda()
    go = threading.Event()

    def better() -> engines.Engine:
        assert go.wait(60)
        return on_the_gpu(cuda)

    engine = UpgradingEngine(on_the_cpu(), better)
    assert isinstance(engine, Resident)
    chain, alone = Chain(engine), Chain(on_the_cpu())
    with pytest.raises(EngineError, match="onnxruntime keeps nothing on a device"):
        engine.place("y")
    traffic = []
    for seed in range(8):
        if seed == 3:
            go.set()
            assert engine.wait(60)
        cuda.moved = dict.fromkeys(cuda.moved, 0)
        np.testing.assert_array_equal(chain(seed), alone(seed))
        traffic.append(cuda.moved[1])
    assert traffic[:3] == [0, 0, 0]
    past = sum(array.nbytes for array in chain.past.values())
    assert traffic[3] == traffic[4] + past
    assert len(set(traffic[4:])) == 1
    engine.close()


def test_spare_arrays_are_taken_where_they_fit() -> None:
    cuda = Cuda()
    name = f"{PAST[-1]}_out"
    here, there = on_the_cpu(), on_the_gpu(cuda)
    array, placed = room(here, name), room(there, name)
    assert room(here, name, array) is array
    assert room(there, name, placed) is placed
    assert isinstance(room(here, name, placed), np.ndarray)
    assert isinstance(room(there, name, array), DeviceArray)
    assert room(here, name, array[:, :, :2]) is not array
