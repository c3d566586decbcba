"""A generator graph whose chroma goes in and comes out interleaved, as NV12 has it.

Decoders and encoders on GPUs know no I420. The two ends of the graph are rewritten; what lies
between stays, so one graph in the pack serves both. The contract's `u` and `v` become

========== ========================= ============================================
uv         uint8 [N,H/2,W/2,2]       chroma, u and v in turn
uv_out     as uv                     the restyled chroma
========== ========================= ============================================

and the metadata say `streamfx.planes = nv12`, by which `streamfx.engines.graph` knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamfx.engines.contract import METADATA_PREFIX, GraphSpec
from streamfx.engines.errors import EngineError

PLANES_KEY = METADATA_PREFIX + "planes"
NV12 = "nv12"

_CHROMA = ("u", "v")
_OLDEST_OPSET = 13  # from here on Split takes its sizes as an input
_TO_PLANES, _TO_PAIRS = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class NV12Spec(GraphSpec):
    """A `GraphSpec` whose chroma is one interleaved tensor."""

    def input_shapes(self, height: int, width: int, batch: int = 1) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in super().input_shapes(height, width, batch).items():
            if name == "u":
                shapes["uv"] = (batch, height // 2, width // 2, 2)
            elif name != "v":
                shapes[name] = shape
        return shapes

    def to_metadata(self) -> dict[str, str]:
        return super().to_metadata() | {PLANES_KEY: NV12}


def to_nv12(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a planar generator graph with NV12's chroma; it computes the same.

    Raises:
        EngineError: the graph has no planar chroma, is too old, or uses a name that is needed.
    """
    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    graph = turned.graph
    opset = next(int(each.version) for each in turned.opset_import if not each.domain)
    if opset < _OLDEST_OPSET:
        raise EngineError(f"the graph is of ONNX opset {opset}; NV12 needs {_OLDEST_OPSET}")
    inputs = {value.name: value for value in graph.input}
    outputs = {value.name: value for value in graph.output}
    made = {name for node in graph.node for name in node.output}
    for name, values in (
        *((plane, inputs) for plane in _CHROMA),
        *((f"{plane}_out", outputs) for plane in _CHROMA),
    ):
        if name not in values:
            raise EngineError(f"the graph has no {name}: it is not a planar generator graph")
    if taken := made & {"uv", "uv_out", "uv_float", "u_float", "v_float"}:
        raise EngineError(f"the graph has a tensor {min(taken)} already")
    nodes = [*_entry(graph, inputs), *graph.node, *_exit(graph)]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1], np.int64), "uv_split"))
    for values, suffix in ((graph.input, ""), (graph.output, "_out")):
        at = next(i for i, value in enumerate(values) if value.name == f"u{suffix}")
        kept = [value for value in values if value.name not in (f"u{suffix}", f"v{suffix}")]
        kept.insert(at, _pairs(f"uv{suffix}", next(v for v in values if v.name == f"u{suffix}")))
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del values[:]
        values.extend(copies)
    del graph.value_info[:]
    entry = turned.metadata_props.add()
    entry.key, entry.value = PLANES_KEY, NV12
    return turned


def _entry(graph: onnx.GraphProto, inputs: dict[str, onnx.ValueInfoProto]) -> list[onnx.NodeProto]:
    """Nodes that give u and v from uv; those that read them are pointed there.

    The cast comes first: TensorRT takes uint8 at the edges alone.
    """
    nodes = [
        helper.make_node("Cast", ["uv"], ["uv_float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["uv_float"], ["uv_planes"], perm=_TO_PLANES),
        helper.make_node("Split", ["uv_planes", "uv_split"], ["u_float", "v_float"], axis=1),
    ]
    bytes_wanted: set[str] = set()
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name not in _CHROMA:
                continue
            if node.op_type in ("Shape", "Cast"):  # which read any type
                node.input[slot] = f"{name}_float"
            else:
                bytes_wanted.add(name)
    for name in sorted(bytes_wanted):
        nodes.append(helper.make_node("Cast", [f"{name}_float"], [name], to=TensorProto.UINT8))
    return nodes


def _exit(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes that make uv_out of the values that u_out and v_out are cast from."""
    nodes = []
    planes = []
    read = {name for node in graph.node for name in node.input}
    for name in ("u_out", "v_out"):
        cast = next(node for node in graph.node if name in node.output)
        if cast.op_type == "Cast" and name not in read:
            planes.append(cast.input[0])
            graph.node.remove(cast)
        else:
            planes.append(f"{name}_float")
            nodes.append(helper.make_node("Cast", [name], [planes[-1]], to=TensorProto.FLOAT))
    return [
        *nodes,
        helper.make_node("Concat", planes, ["uv_out_planes"], axis=1),
        helper.make_node("Transpose", ["uv_out_planes"], ["uv_out_float"], perm=_TO_PAIRS),
        helper.make_node("Cast", ["uv_out_float"], ["uv_out"], to=TensorProto.UINT8),
    ]


def _pairs(name: str, plane: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The declaration of interleaved chroma, from that of a plane."""
    batch, _, height, width = (
        dim.dim_param or dim.dim_value or None for dim in plane.type.tensor_type.shape.dim
    )
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, height, width, 2])
