"""A generator graph whose convolutions are typed fp16 or bf16.

TensorRT takes the precision of a layer from the types in the graph ("strongly typed"), and so do
ONNX Runtime's GPU providers. What lies on a path from one convolution to another, ends included,
is lowered. The rest stays fp32: the inputs and outputs, the picture itself with the filters that
work on it, the rounding (bf16 has eight significant bits and would band smooth skies), and the
sampling of the past picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamfx.engines.base import cause
from streamfx.engines.errors import EngineError

_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_LARGEST_FP16 = 65504.0
# Luma unshuffled by two: a convolution with so many channels in and out is a filter of the picture.
_LUMA = 4
# The first opset whose convolutions and activations may be bf16.
_BF16_OPSET = 22


def lower(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """A copy of `model`, whose nodes are in topological order, that computes in `precision`.

    Args:
        precision: "fp16" or "bf16", or "fp32" for a plain copy.

    Raises:
        EngineError: a weight is too large for fp16, or the types of the graph do not add up.
    """
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    if precision == "fp32":
        return lowered
    try:
        if precision == "bf16" and _opset(lowered) < _BF16_OPSET:
            lowered = onnx.version_converter.convert_version(lowered, _BF16_OPSET)
        inferred = onnx.shape_inference.infer_shapes(lowered)
        _Lowering(lowered, inferred.graph, _TYPES[precision]).apply()
    except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, RuntimeError) as error:
        raise EngineError(f"the types of the graph do not add up: {cause(error)}") from error
    return lowered


def uint8_at_the_edges(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` in which only inputs and outputs are uint8, as TensorRT wants it.

    A cast to uint8 that other nodes follow becomes the floor that it is for 0..255, and the cast
    comes last.
    """
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    outputs = {value.name for value in moved.graph.output}
    floats: set[str] = set()  # what was uint8 and is fp32 now
    nodes: list[onnx.NodeProto] = []
    for node in moved.graph.node:
        nodes.append(node)
        if node.op_type == "Cast":
            to = helper.get_node_attr_value(node, "to")
            if to == TensorProto.UINT8 and node.output[0] not in outputs:
                floats.add(node.output[0])
                nodes[-1] = helper.make_node("Floor", node.input, node.output, node.name)
        elif not floats.isdisjoint(node.input) and node.op_type != "Shape":
            for slot, name in enumerate(node.output):
                floats.add(name)
                if name in outputs:
                    node.output[slot] = f"{name}_float"
                    cast = helper.make_node("Cast", [f"{name}_float"], [name], to=TensorProto.UINT8)
                    nodes.append(cast)
    del moved.graph.node[:], moved.graph.value_info[:]
    moved.graph.node.extend(nodes)
    return moved


class _Lowering:
    """Rewrites one graph: `apply` is called once."""

    def __init__(self, model: onnx.ModelProto, inferred: onnx.GraphProto, low: int) -> None:
        self._graph = model.graph
        self._opset = _opset(model)
        self._low = low
        self._constants = _constants(self._graph)
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        typed = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._floats = typed | {
            name for name, array in self._constants.items() if array.dtype == np.float32
        }
        self._nodes: list[onnx.NodeProto] = []
        self._added: dict[tuple[str, int], str] = {}

    def apply(self) -> None:
        chosen = self._between_convolutions()
        lowered: set[str] = set()
        outputs = {value.name for value in self._graph.output}
        for index, node in enumerate(self._graph.node):
            if index not in chosen:
                for slot, name in enumerate(node.input):
                    if name in lowered:
                        node.input[slot] = self._cast(name, TensorProto.FLOAT)
                self._nodes.append(node)
                continue
            ins, outs = self._slots(node)
            for slot in ins:
                if node.input[slot] not in lowered:
                    node.input[slot] = self._cast(node.input[slot], self._low)
            self._nodes.append(node)
            for slot in outs:
                name = node.output[slot]
                if name in outputs:  # keeps its name and its type
                    node.output[slot] = f"{name}_low"
                    self._nodes.append(
                        helper.make_node("Cast", [f"{name}_low"], [name], to=TensorProto.FLOAT)
                    )
                else:
                    lowered.add(name)
        self._replace_nodes()

    def _between_convolutions(self) -> set[int]:
        """Indices of the nodes on a path of fp32 tensors from one layer to another."""
        nodes = [(node, *self._ends(node)) for node in self._graph.node]
        below: set[str] = set()  # tensors that a convolution leads to
        for node, ins, outs in nodes:
            if self._is_layer(node) or not below.isdisjoint(ins):
                below.update(outs)
        above: set[str] = set()  # tensors that lead to a convolution
        for node, ins, outs in reversed(nodes):
            if self._is_layer(node) or not above.isdisjoint(outs):
                above.update(ins)
        chosen = set()
        for index, (node, ins, outs) in enumerate(nodes):
            follows, leads = not below.isdisjoint(ins), not above.isdisjoint(outs)
            if (follows and leads) or (self._is_layer(node) and (follows or leads)):
                chosen.add(index)
        return chosen

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a convolution, and of features, not of the picture."""
        if node.op_type != "Conv":
            return False
        weights = self._constants.get(node.input[1])
        return weights is None or weights.shape[:2] != (_LUMA, _LUMA)

    def _ends(self, node: onnx.NodeProto) -> tuple[list[str], list[str]]:
        ins, outs = self._slots(node)
        return [node.input[i] for i in ins], [node.output[i] for i in outs]

    def _slots(self, node: onnx.NodeProto) -> tuple[list[int], list[int]]:
        """The inputs and outputs of a node that share the type of its first output, in fp32.

        The others are what the operator wants them to be: sizes, scales, a condition.
        """
        schema = onnx.defs.get_schema(node.op_type, self._opset, node.domain)
        kind = schema.outputs[0].type_str

        def matching(names: Sequence[str], formal: Sequence[Any]) -> list[int]:
            return [
                i
                for i, name in enumerate(names)
                if name in self._floats and formal[min(i, len(formal) - 1)].type_str == kind
            ]

        return matching(node.input, schema.inputs), matching(node.output, schema.outputs)

    def _cast(self, name: str, element: int) -> str:
        """The tensor `name` as another type; a constant is converted here and now."""
        if (name, element) not in self._added:
            cast = f"{name}_as_{TensorProto.DataType.Name(element).lower()}"
            self._added[name, element] = cast
            if name in self._constants:
                self._graph.initializer.append(_converted(cast, self._constants[name], element))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [cast], to=element))
        return self._added[name, element]

    def _replace_nodes(self) -> None:
        used = _used(self._nodes, self._graph)
        nodes = [
            node
            for node in self._nodes
            if node.output[0] in used or node.output[0] not in self._constants
        ]
        used = _used(nodes, self._graph)
        stored = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(stored)


def _used(nodes: Sequence[onnx.NodeProto], graph: onnx.GraphProto) -> set[str]:
    return {name for node in nodes for name in node.input} | {v.name for v in graph.output}


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[np.generic]]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = helper.get_node_attr_value(node, node.attribute[0].name)
            if isinstance(value, onnx.TensorProto):
                found[node.output[0]] = numpy_helper.to_array(value)
        elif node.op_type == "Identity" and node.input[0] in found:  # a weight that is shared
            found[node.output[0]] = found[node.input[0]]
    return found


def _converted(name: str, array: NDArray[np.generic], element: int) -> onnx.TensorProto:
    if element == TensorProto.FLOAT16 and np.abs(array).max(initial=0) > _LARGEST_FP16:
        raise EngineError("a weight of the graph is too large for fp16; use bf16 or fp32")
    dtype = helper.tensor_dtype_to_np_dtype(element)
    return numpy_helper.from_array(array.astype(dtype), name)


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if not entry.domain)
