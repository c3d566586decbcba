"""Reading a generator graph: is it one, does it keep the contract, and at which shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from streamfx.engines.base import TensorSpec, cause
from streamfx.engines.contract import GraphSpec
from streamfx.engines.errors import EngineError
from streamfx.engines.nv12 import NV12, PLANES_KEY, NV12Spec

Specs = dict[str, TensorSpec]

_UINT8, _FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
_PLANES = ("y", "u", "v", "uv")
_ELEMENTS = {_UINT8: onnx.TensorProto.UINT8, _FLOAT32: onnx.TensorProto.FLOAT}


def read_graph(graph: bytes) -> tuple[onnx.ModelProto, GraphSpec]:
    """Parse a serialized ONNX model and check what can be checked without running it.

    Raises:
        EngineError: it is not an ONNX model, points to data outside itself, has no or bad
            `streamfx.` metadata, or its inputs and outputs are not the contract's.
    """
    model = read_model(graph)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        kind = NV12Spec if metadata.get(PLANES_KEY) == NV12 else GraphSpec
        spec = kind.from_metadata(metadata)
    except ValueError as error:
        raise EngineError(f"this is not a StreamFX generator graph: {error}") from error
    inputs, outputs = tensor_specs(spec, size=(2, 2), batch=1)
    stored = {tensor.name for tensor in model.graph.initializer}
    _check_values(
        "input", [value for value in model.graph.input if value.name not in stored], inputs
    )
    _check_values("output", model.graph.output, outputs)
    return model, spec


def read_model(graph: bytes) -> onnx.ModelProto:
    """Parse any self-contained ONNX model.

    Raises:
        EngineError: it is not an ONNX model or points to data outside itself.
    """
    try:
        model = onnx.load_model_from_string(graph)
    except (DecodeError, ValueError, RecursionError) as error:
        raise EngineError(f"this is not an ONNX graph: {cause(error)}") from error
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(model)):
        raise EngineError("the graph points to data in other files; a graph must hold its weights")
    return model


def read_function(
    graph: bytes, what: str, reads: tuple[str, list[int]], gives: tuple[str, list[int]]
) -> onnx.ModelProto:
    """Parse a graph of one float32 input and one float32 output, N at a time, and check both.

    Args:
        what: the graph's kind, for the message.
        reads, gives: name of the tensor, and its shape after N.

    Raises:
        EngineError: it is not a self-contained ONNX graph of that form.
    """
    model = read_model(graph)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    for values, (name, tail) in ((inputs, reads), (list(model.graph.output), gives)):
        tensors = [value.type.tensor_type for value in values]
        if (
            [value.name for value in values] != [name]
            or tensors[0].elem_type != onnx.TensorProto.FLOAT
            or [dim.dim_value for dim in tensors[0].shape.dim][1:] != tail
        ):
            form = f"{name}, float32 [N, {', '.join(map(str, tail))}]"
            raise EngineError(f"a {what} has one tensor {form}")
    return model


def read_spec(graph: bytes) -> GraphSpec:
    """The `GraphSpec` of a serialized generator graph; raises as `read_graph` does."""
    return read_graph(graph)[1]


def tensor_specs(spec: GraphSpec, size: tuple[int, int], batch: int) -> tuple[Specs, Specs]:
    """What a graph of `spec` reads and writes for frames of `size` = (height, width).

    Raises:
        EngineError: the size or the batch is not possible.
    """
    if batch < 1:
        raise EngineError(f"a batch holds at least 1 frame, not {batch}")
    try:
        shapes = spec.input_shapes(*size, batch=batch)
    except ValueError as error:
        raise EngineError(str(error)) from error
    inputs = {
        name: TensorSpec(shape, _UINT8 if name in _PLANES else _FLOAT32)
        for name, shape in shapes.items()
    }
    # Each output has the shape and the type of the input that it renews.
    renewed = (*(name for name in _PLANES if name in inputs), *spec.recurrent)
    return inputs, {f"{name}_out": inputs[name] for name in renewed}


def freeze(model: onnx.ModelProto, inputs: Mapping[str, TensorSpec]) -> onnx.ModelProto:
    """A copy of `model` with static input shapes, every other shape left to be inferred.

    Raises:
        EngineError: the graph declares a dimension that does not fit.
    """
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    for value in frozen.graph.input:
        if value.name not in inputs:
            continue
        shape = inputs[value.name].shape
        declared = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if len(declared) != len(shape) or any(
            have not in (0, want) for have, want in zip(declared, shape, strict=True)
        ):
            raise EngineError(
                f"the graph declares {value.name} as {declared} (0 = any); "
                f"this frame size needs {list(shape)}"
            )
        for dim, want in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            dim.dim_value = want
    del frozen.graph.value_info[:]
    for value in frozen.graph.output:
        value.type.tensor_type.ClearField("shape")
    return frozen


def _check_values(kind: str, values: list[onnx.ValueInfoProto], specs: Specs) -> None:
    elements = {value.name: value.type.tensor_type.elem_type for value in values}
    for name in specs:
        if name not in elements:
            raise EngineError(f"the graph lacks the {kind} {name}")
        if elements[name] != _ELEMENTS[specs[name].dtype]:
            raise EngineError(f"the graph's {kind} {name} must be {specs[name].dtype}")
    unknown = sorted(elements.keys() - specs.keys())
    if unknown:
        raise EngineError(
            f"the graph has the {kind} {unknown[0]!r}, which this version does not know; "
            "update streamfx"
        )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor stored anywhere in the model, subgraphs and functions included."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: list[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(graph)
