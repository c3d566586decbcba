"""What a style pack says about itself: `manifest.json`, format version 1."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from streamfx.engines.contract import GraphSpec
from streamfx.expressions import RESERVED

FORMAT: Literal[1] = 1
GENERATOR = "generator.onnx"
STYLE_ENCODER = "style_encoder.onnx"
MAPPING = "mapping.onnx"
BRUSHWORK = "brushwork/"

_MEMBER_NAMES = (
    r"(generator|style_encoder|mapping)\.onnx"
    r"|thumbnails/[a-z0-9-]+\.(jpg|png)"
    r"|brushwork/[a-z0-9-]+\.jpg"
    r"|training/[a-z0-9_-]+\.safetensors"
)

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Text = Annotated[str, StringConstraints(max_length=300)]
MemberName = Annotated[str, StringConstraints(pattern=f"^({_MEMBER_NAMES})$", max_length=100)]
Number = Annotated[float, Field(ge=-1e4, le=1e4, allow_inf_nan=False)]


def is_member_name(name: str) -> bool:
    """Whether a pack may hold a file of this name (beside its manifest)."""
    return re.fullmatch(_MEMBER_NAMES, name) is not None


def brushwork_of(style: str) -> str:
    """The member that keeps the swatches of a style."""
    return f"{BRUSHWORK}{style}.jpg"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Network(_Model):
    """The generator: its width and what its graph's metadata says (see `GraphSpec`)."""

    width: Literal["small", "large"]
    style_size: int
    state_channels: int
    margin: int
    stride: int
    inputs: tuple[str, ...]

    @property
    def spec(self) -> GraphSpec:
        return GraphSpec(
            style_size=self.style_size,
            state_channels=self.state_channels,
            margin=self.margin,
            stride=self.stride,
            motion="motion" in self.inputs,
            texture="texture" in self.inputs,
        )


class Brushwork(_Model):
    """The marks of a style's paint, see `streamfx.brushwork`.

    Attributes:
        swatches: the member that holds them.
        amount: deviation of the texture on a picture, levels of 255.
    """

    swatches: MemberName
    amount: Annotated[float, Field(ge=0, le=32, allow_inf_nan=False)]


class Style(_Model):
    """One style: whose picture it is taken from, its code for the generator, and its marks."""

    name: Slug
    title: Text
    author: Text
    year: Text
    source: Text
    licence: Text
    code: tuple[Number, ...]
    thumbnail: MemberName | None = None
    brushwork: Brushwork | None = None

    @property
    def vector(self) -> NDArray[np.float32]:
        """The code as float32 [S]."""
        return np.array(self.code, np.float32)


class Member(_Model):
    """A file inside the pack."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class Manifest(_Model):
    """All of `manifest.json`; `members` lists every other file of the pack."""

    format: Literal[1] = FORMAT
    name: Slug
    network: Network
    styles: Annotated[tuple[Style, ...], Field(min_length=1, max_length=1000)]
    recipe: dict[str, JsonValue]
    figures: dict[str, JsonValue]
    members: Annotated[dict[MemberName, Member], Field(max_length=3000)]

    @model_validator(mode="after")
    def _parts_fit(self) -> Manifest:
        names = [style.name for style in self.styles]
        if len(set(names)) < len(names):
            raise ValueError("two styles have the same name")
        if RESERVED.intersection(names):
            raise ValueError(f"no style may be called {' or '.join(sorted(RESERVED))}")
        if GENERATOR not in self.members:
            raise ValueError(f"{GENERATOR} is not among the members")
        for style in self.styles:
            if len(style.code) != self.network.style_size:
                raise ValueError(
                    f"the code of {style.name} has {len(style.code)} numbers, "
                    f"not style_size = {self.network.style_size}"
                )
            if style.thumbnail is not None and style.thumbnail not in self.members:
                raise ValueError(f"the thumbnail of {style.name} is not among the members")
            if style.brushwork is not None and style.brushwork.swatches not in self.members:
                raise ValueError(f"the brushwork of {style.name} is not among the members")
        return self
