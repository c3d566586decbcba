"""Lowering a graph types what lies between convolutions, and keeps what the graph computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import graphs
from streamfx.engines import graph as graphs_module
from streamfx.engines.base import EngineOptions
from streamfx.engines.errors import EngineError
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.typed import lower, uint8_at_the_edges
from streamfx.engines.verify import difference

SIZE = (96, 128)


def small_network(weight: float = 0.1) -> onnx.ModelProto:
    """x -> two convolutions with a Resize and a shared constant between; `skip` goes around."""
    weights = np.full((2, 2, 1, 1), weight, np.float32)
    constants: dict[str, NDArray[np.generic]] = {
        "weights": weights,
        "scales": np.array([1, 1, 2, 2], np.float32),
        "half": np.array(0.5, np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["scaled"]),
        helper.make_node("Identity", ["weights"], ["shared"]),
        helper.make_node("Conv", ["scaled", "weights"], ["first"]),
        helper.make_node("Mul", ["first", "half"], ["between"]),
        helper.make_node("Resize", ["between", "", "scales"], ["larger"], mode="nearest"),
        helper.make_node("Conv", ["larger", "shared"], ["last"]),
        helper.make_node("Conv", ["skip", "weights"], ["alone"]),
        helper.make_node("Add", ["last", "alone"], ["out"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [
            value("x", TensorProto.FLOAT, [1, 2, 4, 4]),
            value("skip", TensorProto.FLOAT, [1, 2, 8, 8]),
        ],
        [value("out", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize(
    ("precision", "low"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]
)
def test_what_lies_between_convolutions_is_lowered(precision: str, low: int) -> None:
    lowered = lower(small_network(), precision)
    onnx.checker.check_model(lowered, full_check=True)
    types = element_types(lowered)
    for name in ("first", "between", "larger", "last"):
        assert types[name] == low, name
    for name in ("scaled", "alone", "out"):
        assert types[name] == TensorProto.FLOAT, name
    stored = {tensor.name: tensor.data_type for tensor in lowered.graph.initializer}
    assert stored["scales"] == TensorProto.FLOAT  # a Resize wants them so in any type
    assert stored["weights"] == TensorProto.FLOAT  # the convolution that stands alone has them
    assert list(stored.values()).count(low) == 3  # the weights, their other name, the half
    assert "Identity" not in {node.op_type for node in lowered.graph.node}


def test_filters_of_the_picture_stay_as_they_are() -> None:
    model = small_network()
    square = np.full((4, 4, 3, 3), 1 / 36, np.float32)
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 4, 8, 8])
    model.graph.input.append(picture)
    model.graph.initializer.append(numpy_helper.from_array(square, "square"))
    model.graph.node.extend(
        [
            helper.make_node("Concat", ["out", "out"], ["drawn"], axis=1),
            helper.make_node("Add", ["picture", "drawn"], ["whole"]),
            helper.make_node("Conv", ["whole", "square"], ["filtered"], pads=[1, 1, 1, 1]),
        ]
    )
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("filtered", TensorProto.FLOAT, [1, 4, 8, 8])
    )
    types = element_types(lower(model, "bf16"))
    assert types["last"] == TensorProto.BFLOAT16
    for name in ("drawn", "whole", "filtered"):
        assert types[name] == TensorProto.FLOAT, name


def test_fp32_is_a_copy() -> None:
    model = small_network()
    assert lower(model, "fp32").SerializeToString() == model.SerializeToString()
    assert lower(model, "fp32") is not model


def test_a_weight_too_large_for_fp16_is_refused() -> None:
    with pytest.raises(EngineError, match="too large for fp16"):
        lower(small_network(1e6), "fp16")
    lower(small_network(1e6), "bf16")


def test_graph_without_convolutions_stays_fp32() -> None:
    model = graphs.generator()
    assert lower(model, "fp16").graph.node == model.graph.node


def test_uint8_stays_at_the_edges() -> None:
    """A graph that shuffles bytes at its end, as exports of older versions do."""
    model = graphs.generator()
    for name in ("u_out", "v_out"):
        cast = next(node for node in model.graph.node if node.output[0] == name)
        cast.output[0] = f"{name}_early"
        model.graph.node.append(helper.make_node("Identity", [cast.output[0]], [name]))
    moved = uint8_at_the_edges(model)
    onnx.checker.check_model(moved, full_check=True)
    edges = {value.name for value in (*moved.graph.input, *moved.graph.output)}
    types = element_types(moved)
    assert {name for name in types if types[name] == TensorProto.UINT8} <= edges
    backend, options = ONNXRuntimeBackend(), EngineOptions(precision="fp32", threads=1)
    loaded = [
        backend.load(graph.SerializeToString(), size=SIZE, options=options)
        for graph in (moved, model)
    ]
    assert difference(*loaded) == 0
    plain = graphs.generator()
    assert uint8_at_the_edges(plain).graph.node == plain.graph.node


@pytest.mark.parametrize("width", ["small", "large"])
def test_shipped_networks_compute_the_same(width: str) -> None:
    torch = pytest.importorskip("torch", reason="the extra `training` is not installed")
    from streamfx.training.export import export_generator
    from streamfx.training.networks import WIDTHS, Generator

    torch.manual_seed(0)
    graph = export_generator(Generator(WIDTHS[width]))
    model, _ = graphs_module.read_graph(graph)
    for precision in ("fp16", "bf16"):
        onnx.checker.check_model(lower(model, precision), full_check=True)
    backend, options = ONNXRuntimeBackend(), EngineOptions(precision="fp32", threads=1)
    reference = backend.load(graph, size=SIZE, options=options)
    typed = lower(model, "fp16").SerializeToString()
    engine = backend.load(typed, size=SIZE, options=options)  # the CPU runs fp16 by casting
    assert 0 < difference(engine, reference) < 0.5
