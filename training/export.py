"""From trained networks to the graphs and the style pack that a user runs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto
from safetensors.torch import save as save_tensors
from torch import nn

from streamfx.brushwork import Paint
from streamfx.engines.contract import GraphSpec
from streamfx.latents import LATENT_SIZE
from streamfx.manifest import GENERATOR, MAPPING, STYLE_ENCODER, brushwork_of
from streamfx.styles import Pack, write_pack
from streamfx.training.base import ENCODER_WEIGHTS, GENERATOR_WEIGHTS
from streamfx.training.mapping import Mapping
from streamfx.training.networks import Generator, Networks, PlanesGraph, StyleEncoder
from streamfx.training.recipes import Recipe

OPSET = 17
PICTURE_SIDE = 256
_CODES = ("style", "strength")


def export_generator(generator: Generator) -> bytes:
    """The generator as an ONNX graph with the contract's tensors, dynamic in N, H and W."""
    spec = generator.config.graph
    graph = PlanesGraph(generator).eval()
    height, width = 96, 128
    shapes = spec.input_shapes(height, width)
    inputs = tuple(
        torch.zeros(shape, dtype=torch.uint8 if name in "yuv" else torch.float32)
        for name, shape in shapes.items()
    )
    outputs = [f"{name}_out" for name in ("y", "u", "v", *spec.recurrent)]
    axes = {name: {0: "N", 2: f"{name}_h", 3: f"{name}_w"} for name in (*shapes, *outputs)} | {
        name: {0: "N"} for name in _CODES
    }
    axes["motion"] = {0: "N", 1: "motion_h", 2: "motion_w"}
    model = _export(graph, inputs, list(shapes), outputs, axes)
    for name, text in spec.to_metadata().items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    _fix_output_shapes(model, spec)
    return bytes(model.SerializeToString())


def export_style_encoder(encoder: StyleEncoder) -> bytes:
    """The style encoder as an ONNX graph: picture [N,3,256,256] -> style [N,S]."""
    picture = torch.zeros(1, 3, PICTURE_SIDE, PICTURE_SIDE)
    axes = {"picture": {0: "N"}, "style": {0: "N"}}
    model = _export(encoder.eval(), (picture,), ["picture"], ["style"], axes)
    return bytes(model.SerializeToString())


def export_mapping(mapping: Mapping) -> bytes:
    """The mapping network as an ONNX graph: latent [N,64] -> style [N,S]."""
    latent = torch.zeros(1, LATENT_SIZE)
    axes = {"latent": {0: "N"}, "style": {0: "N"}}
    model = _export(mapping.eval(), (latent,), ["latent"], ["style"], axes)
    return bytes(model.SerializeToString())


def _export(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    names: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter is the one that keeps sizes symbolic and writes one pad for the
        # whole graph; it warns that another one is the default.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            inputs,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return model


def _fix_output_shapes(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """Say the number of channels of every output; tracing leaves some unknown."""
    channels = {f"{name}_out": shape[1] for name, shape in spec.input_shapes(2, 2).items()}
    for value in model.graph.output:
        tensor = value.type.tensor_type
        assert tensor.elem_type in (TensorProto.UINT8, TensorProto.FLOAT)
        dimension = tensor.shape.dim[1]
        dimension.ClearField("dim_param")
        dimension.dim_value = channels[value.name]


def export_pack(
    path: Path,
    recipe: Recipe,
    networks: Networks,
    figures: dict[str, Any],
    thumbnails: dict[str, bytes] | None = None,
    mapping: Mapping | None = None,
    brushwork: Sequence[Paint] = (),
) -> Pack:
    """Write the style pack of a run.

    Args:
        figures: what was measured, for the manifest.
        thumbnails: JPEG data by style name.
        mapping: what latent styles and variations come from; None = the pack has none.
        brushwork: of every style, in the order of the recipe; none = the styles have none.

    Raises:
        InputError: the pack cannot be written there.
    """
    thumbnails = thumbnails or {}
    spec = networks.generator.config.graph
    members = {
        GENERATOR: export_generator(networks.generator),
        STYLE_ENCODER: export_style_encoder(networks.encoder),
        GENERATOR_WEIGHTS: _weights(networks.generator),
        ENCODER_WEIGHTS: _weights(networks.encoder),
        **{f"thumbnails/{name}.jpg": data for name, data in thumbnails.items()},
    }
    if mapping is not None:
        members[MAPPING] = export_mapping(mapping)
        members["training/mapping.safetensors"] = _weights(mapping)
    painted = dict(zip(recipe.styles, brushwork, strict=True)) if brushwork else {}
    for name, paint in painted.items():
        members[brushwork_of(name)] = paint.swatches
    styles = []
    codes = networks.codes.weight.detach().numpy()
    for code, (name, entry) in zip(codes, recipe.styles.items(), strict=True):
        styles.append(
            {
                "name": name,
                "title": entry.title,
                "author": entry.author,
                "year": entry.year,
                "source": entry.picture,
                "licence": entry.licence,
                "code": [round(float(number), 5) for number in code],
                "thumbnail": f"thumbnails/{name}.jpg" if name in thumbnails else None,
                "brushwork": {"swatches": brushwork_of(name), "amount": painted[name].amount}
                if name in painted
                else None,
            }
        )
    manifest = {
        "name": recipe.name,
        "network": {
            "width": recipe.width,
            "style_size": spec.style_size,
            "state_channels": spec.state_channels,
            "margin": spec.margin,
            "stride": spec.stride,
            "inputs": list(spec.input_shapes(2, 2)),
        },
        "styles": styles,
        "recipe": recipe.model_dump(mode="json"),
        "figures": figures,
    }
    return write_pack(path, manifest, members)


def _weights(module: nn.Module) -> bytes:
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    return save_tensors(state)
