"""A small style pack around the graphs of graphs.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

import graphs
from streamfx.engines.contract import GraphSpec
from streamfx.styles import Pack, write_pack


def manifest(spec: GraphSpec = graphs.SPEC, name: str = "tiny") -> dict[str, Any]:
    """Three styles whose codes add to luma, to u and to v."""
    codes = np.eye(3, spec.style_size).tolist()
    names = ("great-wave", "starry-night", "the-harvesters")
    styles = [
        {
            "name": style,
            "title": style.replace("-", " ").title(),
            "author": "A. Painter",
            "year": 1831,
            "source": "drawn for a test",
            "licence": "CC0-1.0",
            "code": code,
            "thumbnail": f"thumbnails/{style}.png",
        }
        for style, code in zip(names, codes, strict=True)
    ]
    network = {
        "width": "small",
        "style_size": spec.style_size,
        "state_channels": spec.state_channels,
        "margin": spec.margin,
        "stride": spec.stride,
        "inputs": sorted(spec.input_shapes(2, 2)),
    }
    return {
        "name": name,
        "network": network,
        "styles": styles,
        "recipe": {"steps": 3},
        "figures": {"warp": 1.5},
    }


def members(spec: GraphSpec = graphs.SPEC) -> dict[str, bytes]:
    thumbnail = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return {
        "generator.onnx": graphs.generator(spec).SerializeToString(),
        "style_encoder.onnx": graphs.style_encoder(spec.style_size).SerializeToString(),
        "mapping.onnx": graphs.mapping(spec.style_size).SerializeToString(),
        **{f"thumbnails/{style['name']}.png": thumbnail for style in manifest(spec)["styles"]},
    }


def tiny_pack(folder: Path, spec: GraphSpec = graphs.SPEC, name: str = "tiny") -> Pack:
    return write_pack(folder / f"{name}.stylepack", manifest(spec, name), members(spec))
