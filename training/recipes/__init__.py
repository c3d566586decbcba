"""Recipes: everything that defines a training run, in one readable file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamfx.errors import InputError
from streamfx.training.teacher import TeacherConfig

SHIFT = 16  # the network's coarsest grid, pixels: beyond it everything repeats


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Detail(_Strict):
    """How much of the content's own fine detail is drawn into the targets.

    Lines and textures are then those of the picture and move with it. Ink has dark lines and no
    light ones beside them; oil has both; flat colour loses some of what there is.

    Attributes:
        dark, light: gains on what is darker and lighter than the mean around it.
    """

    dark: float = Field(0, ge=-8, le=32)
    light: float = Field(0, ge=-8, le=32)


class StyleEntry(_Strict):
    """One catalogue style: a picture in the pictures folder and where it comes from.

    Attributes:
        picture: the file's name.
        more_pictures: further ones of the same style.
        detail: see `DataConfig`, where it is the same for all styles that say nothing.
    """

    picture: str
    more_pictures: tuple[str, ...] = ()
    title: str
    author: str = ""
    year: str = ""
    licence: str = ""
    detail: Detail | None = None


class DataConfig(_Strict):
    """What a batch is made of.

    Attributes:
        max_pictures: content pictures taken, evenly spaced over the sorted folder.
        extra_pictures: pictures beside the catalogue that teach the style encoder.
        extra_contents: content pictures painted in each extra style.
        extra_share: share of the clips that are painted in an extra style.
        blend_share: share of the clips that are a blend of two catalogue styles.
        still_share: share of the clips that do not move.
        window: side of a clip, pixels; a multiple of 16.
        batch: clips in a batch.
        still_batch: single frames in a batch, two of every picture.
        views: whole pictures beside a batch of single frames, for the style term.
        invented_share: share of the views that are to look like a recoloured part of a painting.
        frames: consecutive frames of a clip.
        noise: largest deviation of the sensor noise on the inputs, of 255.
        contrast: least share of its contrast that an input keeps; its target keeps all, so that
            dull pictures come out as rich as the paintings.
        soft_share: share of the inputs that have less detail than their size could hold, as film
            mostly has.
        sharpen: amount of the unsharp mask on the targets; paintings have more fine contrast
            than what the teacher makes, and than what a small network keeps of it.
        vivid: how far the targets' colours are from the painting's mean colour, in what they
            were; a network that cannot foresee a colour takes a duller one.
        detail: what is drawn into the targets of styles that do not say it themselves.
        own_faces: how much of the faces in the targets is the content's own, in the style's
            colours, so that people stay who they are.
    """

    max_pictures: int = Field(180, ge=2)
    extra_pictures: tuple[str, ...] = ()
    extra_contents: int = Field(20, ge=1)
    extra_share: float = Field(0.15, ge=0, le=1)
    blend_share: float = Field(0.1, ge=0, le=1)
    still_share: float = Field(0.33, ge=0, le=1)
    window: int = Field(192, ge=96, le=512, multiple_of=16)
    batch: int = Field(4, ge=2, le=64)
    still_batch: int = Field(8, ge=4, le=256, multiple_of=2)
    views: int = Field(2, ge=1, le=64)
    invented_share: float = Field(0, ge=0, le=1)
    frames: int = Field(3, ge=3, le=8)
    noise: float = Field(6, ge=0, le=32)
    contrast: float = Field(0.5, gt=0, le=1)
    soft_share: float = Field(0.5, ge=0, le=1)
    sharpen: float = Field(1, ge=0, le=4)
    vivid: float = Field(1.5, ge=0, le=4)
    detail: Detail = Detail()
    own_faces: float = Field(0, ge=0, le=1)


class LossWeights(_Strict):
    """Weight of every term of the objective; see `streamfx.training.losses`."""

    teacher_mse: float = Field(5, ge=0)
    teacher_l1: float = Field(5, ge=0)
    teacher_gradient: float = Field(5, ge=0)
    teacher_texture: float = Field(0, ge=0)
    adversarial: float = Field(0.08, ge=0)
    temporal_adversarial: float = Field(0.02, ge=0)
    content: float = Field(0.3, ge=0)
    face_content: float = Field(0, ge=0)
    face_edges: float = Field(0, ge=0)
    style: float = Field(0.4, ge=0)
    shift: float = Field(0.2, ge=0)
    warp: float = Field(0.25, ge=0)
    long_term: float = Field(0.1, ge=0)
    flat: float = Field(8, ge=0)
    encoder: float = Field(1, ge=0)
    r1: float = Field(0.5, ge=0)


class Tolerance(_Strict):
    """What unsteadiness costs nothing: as much as the looks report allows, and a little less.

    Pressed all the way down, unsteadiness goes together with the marks.

    Attributes:
        shift: difference that a shift makes, in levels of 255.
        warp: difference along the flow, in mean gradients of the picture (see
            `streamfx.training.losses.contrast`); for `warp` and `long_term` alike.
    """

    shift: float = Field(3, ge=0)
    warp: float = Field(0.35, ge=0)


class OptimizerConfig(_Strict):
    """Adam, and when the adversarial part begins.

    Attributes:
        learning_rate, discriminator_learning_rate: peak values.
        warm_up: iterations on single frames with the teacher's terms alone.
        ramp: iterations over which the remaining terms grow to their weight.
        ema: decay of the averaged weights.
        iterations: after which the learning rate has fallen to a tenth (cosine); with a time
            budget, the share of the budget that is used up counts instead.
    """

    learning_rate: float = Field(1e-3, gt=0)
    discriminator_learning_rate: float = Field(4e-4, gt=0)
    warm_up: int = Field(1500, ge=0)
    ramp: int = Field(500, ge=1)
    ema: float = Field(0.999, ge=0, lt=1)
    iterations: int = Field(20_000, ge=1)


class CodesConfig(_Strict):
    """The last step of a run, of the catalogue's codes alone: see `streamfx.training.codes`.

    Attributes:
        steps: of Adam, for each style; 0 = the codes stay as they were trained.
        learning_rate: peak value.
        faces: weight of what keeps faces of one colour and shaded as they were.
        shift: weight of the difference that a shift makes, beyond the recipe's tolerance.
        near: weight of the squared way that a code has gone.
    """

    steps: int = Field(0, ge=0, le=10_000)
    learning_rate: float = Field(0.015, gt=0)
    faces: float = Field(1.0, ge=0)
    shift: float = Field(0.5, ge=0)
    near: float = Field(0.08, ge=0)


class Recipe(_Strict):
    """A whole training run.

    Attributes:
        base: the pack whose networks the run starts from; None = from nothing.
        styles: by name; a recipe that names none makes one style of a folder's pictures, see
            `Recipe.of_folder`.
        brushwork: most levels of a style's own marks to lay on its pictures, see
            `streamfx.brushwork`; 0 = none.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = ""
    width: Literal["small", "large"] = "small"
    base: str | None = None
    seed: int = Field(0, ge=0)
    styles: dict[str, StyleEntry] = Field(default_factory=dict)
    brushwork: float = Field(0, ge=0, le=12)
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    losses: LossWeights = LossWeights()
    tolerance: Tolerance = Tolerance()
    optimizer: OptimizerConfig = OptimizerConfig()
    codes: CodesConfig = CodesConfig()

    @model_validator(mode="after")
    def _has_room(self) -> Recipe:
        if self.teacher.side < self.data.window + SHIFT:
            raise ValueError(f"teacher.side must be data.window + {SHIFT} at least")
        return self

    @property
    def sees_faces(self) -> bool:
        """Whether the run asks where the faces in its contents are."""
        return max(self.data.own_faces, self.losses.face_content, self.losses.face_edges) > 0

    def of_folder(self, name: str, files: Sequence[str]) -> Recipe:
        """The same recipe with one style, called `name` like its pack, of all these pictures."""
        first, *more = files
        entry = StyleEntry(picture=first, more_pictures=tuple(more), title=name.replace("-", " "))
        return self.model_copy(update={"name": name, "styles": {name: entry}})


def shipped() -> list[str]:
    """Names of the recipes that come with the program."""
    folder = resources.files(__name__)
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def _read(name_or_path: str, readers: tuple[str, ...]) -> dict[str, Any]:
    """What a recipe says, and those that it is like; `readers` are those that are like it."""
    if name_or_path in readers:
        raise InputError(f"recipe {name_or_path!r} is like itself")
    if name_or_path in shipped():
        text = (resources.files(__name__) / f"{name_or_path}.toml").read_text()
    else:
        try:
            text = Path(name_or_path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            names = ", ".join(shipped())
            raise InputError(
                f"no recipe {name_or_path!r}: give a .toml file or one of {names} ({error})"
            ) from None
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {name_or_path!r} is not valid TOML: {error}") from None
    like = said.pop("like", None)
    if like is None:
        return said
    return _merged(_read(str(like), (*readers, name_or_path)), said)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two nested tables in one; what stands above wins."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = _merged(below[key], above[key])
    return both


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by the name of a shipped one or by path.

    One that says `like = "OTHER"` is the other recipe, by name or path, but for what it says
    itself.

    Raises:
        InputError: no such recipe, not TOML, an unknown key or a value out of range.
    """
    try:
        return Recipe.model_validate(_read(name_or_path, ()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"recipe {name_or_path!r}: {place}: {first['msg']}") from None
