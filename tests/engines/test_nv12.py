"""The NV12 form of a graph computes what the planar one does, and is known from it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import graphs
from streamfx import engines
from streamfx.engines.base import EngineOptions
from streamfx.engines.build import Job
from streamfx.engines.builder import prepare
from streamfx.engines.cache import EngineCache
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_graph, read_spec
from streamfx.engines.nv12 import NV12Spec, to_nv12
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt import RTX, TensorRTBackend
from streamfx.engines.typed import lower, uint8_at_the_edges
from streamfx.styles import DEFAULT, find_pack

SIZE = (48, 64)
FP32 = EngineOptions(precision="fp32", threads=1)
SPEC = replace(graphs.SPEC, motion=True)


def load(model: onnx.ModelProto, batch: int = 1) -> engines.Engine:
    graph = model.SerializeToString()
    return ONNXRuntimeBackend().load(graph, size=SIZE, batch=batch, options=FP32)


def run(engine: engines.Engine, inputs: dict[str, engines.Array]) -> dict[str, engines.Array]:
    outputs = {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
    engine.run(inputs, outputs)
    return outputs


def check_parity(planar: engines.Engine, paired: engines.Engine) -> None:
    for seed in range(2):
        inputs = graphs.noise(planar, seed)
        wanted = run(planar, inputs)
        chroma = [inputs.pop(name)[:, 0] for name in "uv"]
        found = run(paired, inputs | {"uv": np.stack(chroma, -1)})
        for index, name in enumerate(("u_out", "v_out")):
            np.testing.assert_array_equal(found["uv_out"][..., index], wanted[name][:, 0])
            assert not np.array_equal(wanted[name][:, 0], chroma[index])
        for name in found.keys() - {"uv_out"}:
            np.testing.assert_array_equal(found[name], wanted[name])
        assert found.keys() == wanted.keys() - {"u_out", "v_out"} | {"uv_out"}


@pytest.mark.parametrize("batch", [1, 2])
def test_parity(batch: int) -> None:
    model = graphs.generator(SPEC)
    check_parity(load(model, batch), load(to_nv12(model), batch))


def test_parity_of_a_graph_that_handles_bytes_at_its_ends() -> None:
    """As exports may: chroma joined before it is cast, an output read again, a plane moved."""
    model = graphs.generator()
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] == "u":
            node.input[0] = "u_same"
    node = helper.make_node("Identity", ["u"], ["u_same"])
    model.graph.node.insert(0, node)
    cast = next(node for node in model.graph.node if node.output[0] == "v_out")
    cast.output[0] = "v_early"
    model.graph.node.append(helper.make_node("Identity", ["v_early"], ["v_out"]))
    turned = to_nv12(model)
    onnx.checker.check_model(turned, full_check=True)
    check_parity(load(model), load(turned))
    check_parity(load(model), load(uint8_at_the_edges(turned)))


def test_the_shipped_graph() -> None:
    model, spec = read_graph(find_pack(DEFAULT).generator)
    turned = to_nv12(model)
    onnx.checker.check_model(turned, full_check=True)
    paired = load(turned)
    check_parity(load(model), paired)
    assert paired.inputs["uv"].shape == (1, SIZE[0] // 2, SIZE[1] // 2, 2)
    found = read_spec(turned.SerializeToString())
    assert found == NV12Spec.from_metadata(spec.to_metadata())
    # It is still typed, and its bytes are still at the edges alone, as TensorRT wants.
    typed = lower(uint8_at_the_edges(turned), "fp16")
    onnx.checker.check_model(typed, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(typed, strict_mode=True)
    inner = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    assert TensorProto.UINT8 not in inner
    assert TensorProto.FLOAT16 in inner


def test_the_builder_takes_it() -> None:
    graph = to_nv12(graphs.generator(SPEC)).SerializeToString()
    job = Job("tensorrt_rtx", *SIZE, batch=2, precision="fp16", capabilities=(89,))
    model, profile = prepare(job, graph)
    assert profile["uv"] == ((1, 24, 32, 2), (2, 24, 32, 2))
    assert {"u", "v"}.isdisjoint(value.name for value in model.graph.input)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)
def test_the_shipped_graph_builds_for_rtx_cards(tmp_path: Path) -> None:
    model, _ = read_graph(find_pack(DEFAULT).generator)
    backend = TensorRTBackend(RTX, EngineCache(tmp_path))
    path = backend.build_for(
        to_nv12(model).SerializeToString(),
        size=(180, 320),
        batch=2,
        options=EngineOptions(precision="fp16"),
        capabilities=(75, 89, 120),
    )
    assert backend.cache.read(path)[0].devices == ("sm75", "sm89", "sm120")


def test_metadata_say_what_it_is() -> None:
    graph = to_nv12(graphs.generator(SPEC)).SerializeToString()
    spec = read_spec(graph)
    assert isinstance(spec, NV12Spec)
    assert spec.recurrent == SPEC.recurrent
    assert spec.to_metadata() == SPEC.to_metadata() | {"streamfx.planes": "nv12"}
    assert not isinstance(read_spec(graphs.generator(SPEC).SerializeToString()), NV12Spec)


def test_what_cannot_be_turned() -> None:
    turned = to_nv12(graphs.generator())
    with pytest.raises(EngineError, match="has no u: it is not a planar"):
        to_nv12(turned)
    old = graphs.generator()
    old.opset_import[0].version = 12
    with pytest.raises(EngineError, match="opset 12; NV12 needs 13"):
        to_nv12(old)
    taken = graphs.generator()
    taken.graph.node.append(helper.make_node("Identity", ["y"], ["uv_float"]))
    with pytest.raises(EngineError, match="has a tensor uv_float already"):
        to_nv12(taken)


def test_a_graph_that_says_nv12_and_is_not() -> None:
    model = graphs.generator()
    entry = model.metadata_props.add()
    entry.key, entry.value = "streamfx.planes", "nv12"
    with pytest.raises(EngineError, match="lacks the input uv"):
        read_graph(model.SerializeToString())
