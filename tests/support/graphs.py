"""Tiny graphs that keep the contracts, with arithmetic that a test can repeat in numpy."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamfx import engines
from streamfx.engines.contract import GraphSpec
from streamfx.latents import LATENT_SIZE

Shape = list[str | int | None]

SPEC = GraphSpec(style_size=4, state_channels=2, margin=8, stride=16)
STYLE_GAIN, STATE_GAIN = 40.0, 60.0


def generator(spec: GraphSpec = SPEC) -> onnx.ModelProto:
    """A generator of any even height and width.

    y_out = y + strength * (40 * style[0] + 60 * state[0], enlarged by 8 and cropped)
    u_out = u + strength * 40 * style[1], v_out the same with style[2]
    state_out = (state + mean of each 8x8 block of the edge-padded y / 255) / 2 + mean(motion)
    past_y_out = past_y + y, past_c_out = past_c + trust
    """
    m, s = spec.margin, spec.stride
    constants: dict[str, NDArray[np.generic]] = {
        "sides": np.array([2, 3]),
        "twice": np.array([2 * m]),
        "stride": np.array([s]),
        "stride_less_1": np.array([s - 1]),
        "margin": np.array([m]),
        "margins": np.array([0, 0, m, m]),
        "none": np.array([0, 0]),
        "starts": np.array([m, m]),
        "scales": np.array([1, 1, 8, 8], np.float32),
        "white": np.array(255, np.float32),
        "half": np.array(0.5, np.float32),
        "black": np.array(0, np.float32),
        "style_gain": np.array(STYLE_GAIN, np.float32),
        "state_gain": np.array(STATE_GAIN, np.float32),
        "channel": np.array([1]),
        "spatial": np.array([2, 3]),
        "all_but_batch": np.array([1, 2, 3]),
        **{f"at{i}": np.array([i]) for i in range(4)},
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["y"], ["y_f"], to=TensorProto.FLOAT),
        node("Shape", ["y"], ["y_shape"]),
        node("Gather", ["y_shape", "sides"], ["size"]),
        node("Add", ["size", "twice"], ["wide"]),
        node("Add", ["wide", "stride_less_1"], ["wider"]),
        node("Div", ["wider", "stride"], ["strides"]),
        node("Mul", ["strides", "stride"], ["padded_size"]),
        node("Sub", ["padded_size", "size"], ["both_sides"]),
        node("Sub", ["both_sides", "margin"], ["far"]),
        node("Concat", ["margins", "none", "far"], ["pads"], axis=0),
        node("Pad", ["y_f", "pads"], ["padded"], mode="edge"),
        node("AveragePool", ["padded"], ["blocks"], kernel_shape=[8, 8], strides=[8, 8]),
        node("Div", ["blocks", "white"], ["fresh"]),
        node("Add", ["state", "fresh"], ["sum"]),
        node("Mul", ["sum", "half"], ["next"]),
        node("Slice", ["state", "at0", "at1", "channel"], ["past"]),
        node("Resize", ["past", "", "scales"], ["enlarged"], mode="nearest"),
        node("Add", ["starts", "size"], ["ends"]),
        node("Slice", ["enlarged", "starts", "ends", "spatial"], ["cropped"]),
        node("Mul", ["cropped", "state_gain"], ["y_state"]),
        node("Unsqueeze", ["strength", "spatial"], ["amount"]),
    ]
    for i, plane in enumerate("yuv"):
        nodes += [
            node("Slice", ["style", f"at{i}", f"at{i + 1}", "channel"], [f"{plane}_code"]),
            node("Unsqueeze", [f"{plane}_code", "spatial"], [f"{plane}_code4"]),
            node("Mul", [f"{plane}_code4", "style_gain"], [f"{plane}_style"]),
        ]
    nodes += [
        node("Cast", ["u"], ["u_f"], to=TensorProto.FLOAT),
        node("Cast", ["v"], ["v_f"], to=TensorProto.FLOAT),
        node("Add", ["y_style", "y_state"], ["y_change"]),
        node("Identity", ["u_style"], ["u_change"]),
        node("Identity", ["v_style"], ["v_change"]),
    ]
    for plane in "yuv":
        nodes += [
            node("Mul", [f"{plane}_change", "amount"], [f"{plane}_scaled"]),
            node("Add", [f"{plane}_f", f"{plane}_scaled"], [f"{plane}_sum"]),
            node("Round", [f"{plane}_sum"], [f"{plane}_round"]),
            node("Clip", [f"{plane}_round", "black", "white"], [f"{plane}_clip"]),
            node("Cast", [f"{plane}_clip"], [f"{plane}_out"], to=TensorProto.UINT8),
        ]
    if spec.motion:
        nodes += [
            node("ReduceMean", ["motion", "all_but_batch"], ["motion_mean"]),
            node("Add", ["next", "motion_mean"], ["state_out"]),
            node("Add", ["past_y", "y_f"], ["past_y_out"]),
            node("Add", ["past_c", "trust"], ["past_c_out"]),
        ]
    else:
        nodes.append(node("Identity", ["next"], ["state_out"]))

    u8, f32 = TensorProto.UINT8, TensorProto.FLOAT
    luma: Shape = ["N", 1, "H", "W"]
    chroma: Shape = ["N", 1, "H2", "W2"]
    state: Shape = ["N", spec.state_channels, "h", "w"]
    value = helper.make_tensor_value_info
    inputs = [
        value("y", u8, luma),
        value("u", u8, chroma),
        value("v", u8, chroma),
        value("style", f32, ["N", spec.style_size]),
        value("strength", f32, ["N", 1]),
        value("state", f32, state),
    ]
    outputs = [
        value("y_out", u8, luma),
        value("u_out", u8, chroma),
        value("v_out", u8, chroma),
        value("state_out", f32, state),
    ]
    if spec.motion:
        past: dict[str, Shape] = {"past_y": luma, "past_c": ["N", 2, "H2", "W2"]}
        inputs += [value(name, f32, shape) for name, shape in past.items()]
        inputs.append(value("motion", f32, ["N", "H2", "W2", 2]))
        inputs.append(value("trust", f32, ["N", 1, "H2", "W2"]))
        outputs += [value(f"{name}_out", f32, shape) for name, shape in past.items()]
    model = _model("generator", nodes, inputs, outputs, constants)
    helper.set_model_props(model, spec.to_metadata())
    return model


def style_encoder(style_size: int = SPEC.style_size) -> onnx.ModelProto:
    """picture -> (mean red, mean green, mean blue, 0, 0 …)."""
    value = helper.make_tensor_value_info
    return _model(
        "style_encoder",
        [
            helper.make_node("ReduceMean", ["picture", "spatial"], ["mean"], keepdims=0),
            helper.make_node("Pad", ["mean", "pads"], ["style"]),
        ],
        [value("picture", TensorProto.FLOAT, ["N", 3, 256, 256])],
        [value("style", TensorProto.FLOAT, ["N", style_size])],
        {"spatial": np.array([2, 3]), "pads": np.array([0, 0, 0, style_size - 3])},
    )


def mapping(style_size: int = SPEC.style_size) -> onnx.ModelProto:
    """latent -> its first numbers."""
    value = helper.make_tensor_value_info
    return _model(
        "mapping",
        [helper.make_node("Slice", ["latent", "first", "size", "axis"], ["style"])],
        [value("latent", TensorProto.FLOAT, ["N", LATENT_SIZE])],
        [value("style", TensorProto.FLOAT, ["N", style_size])],
        {"first": np.array([0]), "size": np.array([style_size]), "axis": np.array([1])},
    )


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def noise(
    engine: engines.Engine, seed: int = 0, without: tuple[str, ...] = ()
) -> dict[str, engines.Array]:
    """Noise within each input's range, but for those that are left out."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 256, spec.shape, np.uint8)
        if spec.dtype == np.uint8
        else rng.uniform(0, 1, spec.shape).astype(np.float32)
        for name, spec in engine.inputs.items()
        if name not in without
    }
