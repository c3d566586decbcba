"""Batches: moving clips of contents and targets, pictures of the style, trouble on the inputs.

Everything in a batch follows from the recipe's seed and the iteration's number alone, so a run
that resumes sees the batches that it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamfx.training.abstraction import luma
from streamfx.training.color import rgb_to_planes
from streamfx.training.exposure import refocus, some_focus
from streamfx.training.library import Library, Style
from streamfx.training.motion import (
    LAYERS,
    Coverage,
    Trajectories,
    cover,
    draw_trajectories,
    render,
)
from streamfx.training.recipes import SHIFT, DataConfig, Detail, Recipe
from streamfx.training.trouble import QUALITY, compressed, trouble
from streamfx.training.views import Views, draw_views
from streamfx.training.windows import draw_styles, patch, style_crop, tensor

FLAT_SIDE = 128
CUT_SIDE = 320
SHARPEN_RADIUS = 1.5
DETAIL_RADIUS = 2.0
FAINT = 1.5  # levels of 255
INK_REACH = 32.0  # pixels about which drawing leaves the light as it was


@dataclass(frozen=True)
class Batch:
    """One batch; B clips of T frames of s pixels.

    Attributes:
        inputs: [B,T,6,s/2,s/2], planes with noise, exposure and compression trouble.
        sharpen: [B,1,1,1], what the exported graph would do about it, see `exposure.focus`.
        targets: [B,T,6,s/2,s/2].
        styles: [B,2], numbers of the style and of the one blended in.
        mix: [B,1], share of the second style, 0 for most clips.
        pictures: [B,3,256,256], the first style's picture, for the style encoder.
        patches: [B,3,s,s], parts of the style's picture.
        flat: [F,6,64,64], planes of smooth shades, noisy or compressed, one for every two
            pictures.
        flat_sharpen: [F,1,1,1], for frames that such shades are part of.
        shifts: [B/2,2], of single frames: clip B/2 + i shows what clip i shows from
            (rows, columns) further on; None for moving clips.
        motion, coverage: what moved where; None for single frames.
        content: [B,3,s,s], the middle frame without trouble; None where
            the library knows of no faces.
        faces: [B,1,s,s], how much of each of its pixels is face, 0..1; None with it.
        views: beside single frames; None for moving clips.
    """

    inputs: Tensor
    sharpen: Tensor
    targets: Tensor
    styles: Tensor
    mix: Tensor
    pictures: Tensor
    patches: Tensor
    flat: Tensor
    flat_sharpen: Tensor
    shifts: NDArray[np.int64] | None
    motion: Trajectories | None
    coverage: Coverage | None
    content: Tensor | None = None
    faces: Tensor | None = None
    views: Views | None = None


@dataclass(frozen=True)
class _Stills:
    """What the clips of a batch are rendered from; see `Batch`.

    Attributes:
        contents: [N,layers,3,S,S], or 4 channels, the last of which says where faces are.
    """

    contents: Tensor
    targets: Tensor
    styles: Tensor
    mix: Tensor
    pictures: Tensor
    patches: Tensor


def make_batch(library: Library, recipe: Recipe, iteration: int) -> Batch:
    """Draw batch number `iteration`.

    Single frames while the run warms up; then moving clips and single frames by turns.
    """
    data = recipe.data
    random = np.random.default_rng((recipe.seed, iteration))
    if iteration < recipe.optimizer.warm_up or iteration % 2:
        return _single_frames(random, library, data)
    stills = _draw_stills(random, library, data, data.batch, LAYERS, CUT_SIDE)
    motion = draw_trajectories(random, data.batch, data.frames, data.window, data.still_share)
    coverage = cover(motion, data.window)
    contents = render(stills.contents, motion, coverage)
    targets = render(stills.targets, motion, coverage)
    pictures, content, faces = _apart(contents, data.frames // 2)
    inputs = trouble(random, pictures, data, data.noise)
    sharpen = _focus(pictures, inputs)
    batch = _batch(random, stills, inputs, sharpen, targets, data, data.batch // 2)
    return replace(batch, motion=motion, coverage=coverage, content=content, faces=faces)


def _single_frames(random: np.random.Generator, library: Library, data: DataConfig) -> Batch:
    """Pairs of windows on the same picture, at any whole distance below `SHIFT` pixels."""
    pairs = data.still_batch // 2
    side = data.window + SHIFT
    stills = _draw_stills(random, library, data, pairs, 1, side)
    shifts = random.integers(0, SHIFT, (pairs, 2))

    def windows(clips: Tensor) -> Tensor:
        moved = [
            clip[..., top : top + data.window, left : left + data.window]
            for clip, (top, left) in zip(clips, shifts, strict=True)
        ]
        return torch.cat([clips[..., : data.window, : data.window], torch.stack(moved)])

    pictures, *_ = _apart(stills.contents, 0)
    inputs = trouble(random, pictures, data, data.noise)
    sharpen = _focus(pictures, inputs).repeat(2, 1, 1, 1)
    _, content, faces = _apart(windows(stills.contents), 0)
    twice = replace(
        stills,
        **{name: torch.cat([value, value]) for name, value in vars(stills).items()},
    )
    targets = windows(stills.targets)
    flats = max(1, pairs // 2)
    batch = _batch(random, twice, windows(inputs), sharpen, targets, data, flats)
    views = draw_views(random, library, data)
    return replace(batch, shifts=shifts, content=content, faces=faces, views=views)


def _focus(before: Tensor, after: Tensor) -> Tensor:
    """What the graph would say of clips [B,T,3,s,s] after trouble: [B,1,1,1]."""
    return refocus(*(rgb_to_planes(clips[:, 0])[:, :4] for clips in (before, after)))


def _apart(clips: Tensor, frame: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Pictures [B,T,3 or 4,s,s] apart from where faces are, and both in one frame.

    Returns:
        pictures [B,T,3,s,s]; of the frame, the picture [B,3,s,s] and the faces [B,1,s,s], or None
        where faces are not known.
    """
    pictures = clips[:, :, :3]
    if clips.shape[2] == 3:
        return pictures, None, None
    return pictures, pictures[:, frame], clips[:, frame, 3:]


def _batch(
    random: np.random.Generator, stills: _Stills, inputs: Tensor, sharpen: Tensor,
    targets: Tensor, data: DataConfig, flats: int,
) -> Batch:  # fmt: skip
    return Batch(
        inputs=_planes(inputs),
        sharpen=sharpen,
        targets=_planes(targets),
        styles=stills.styles,
        mix=stills.mix,
        pictures=stills.pictures,
        patches=stills.patches,
        flat=_flat(random, flats, data.noise),
        flat_sharpen=some_focus(random, flats),
        shifts=None,
        motion=None,
        coverage=None,
    )


def _draw_stills(
    random: np.random.Generator,
    library: Library,
    data: DataConfig,
    count: int,
    layers: int,
    side: int,
) -> _Stills:
    stills, painted, styles, mix, pictures, patches = [], [], [], [], [], []
    for _ in range(count):
        first, second, share = draw_styles(random, library, data)
        a, b = library.styles[first], library.styles[second]
        rows = random.choice(len(a.indices), layers)
        content = library.contents[a.indices[rows]]
        side = min(side, content.shape[1])
        room = content.shape[1] - side + 1
        places = [
            (int(random.integers(room)), int(random.integers(room)), bool(random.random() < 0.5))
            for _ in range(layers)
        ]
        windows = _cut(content, places, side)
        stills.append(windows)
        if library.faces is not None:
            faces = _cut(library.faces[a.indices[rows]], places, side)
            stills[-1] = np.concatenate([windows, faces], axis=-1)
        target = _vivid(_cut(a.targets[rows], places, side), a, data.vivid)
        if share:
            target += share * (_vivid(_cut(b.targets[rows], places, side), b, data.vivid) - target)
        target = _sharpened(target, data.sharpen)
        drawn = (1 - share) * _drawn(windows, a.detail) + share * _drawn(windows, b.detail)
        painted.append(_inked(target, drawn))
        styles.append([first, second])
        mix.append([share])
        painting = a.paintings[int(random.integers(len(a.paintings)))]
        pictures.append(style_crop(random, painting))
        patches.append(patch(random, painting, data.window))
    return _Stills(
        contents=tensor(np.stack(stills)),
        targets=torch.from_numpy(np.stack(painted)).movedim(-1, -3) / 255,
        styles=torch.tensor(styles),
        mix=torch.tensor(mix, dtype=torch.float32),
        pictures=tensor(np.stack(pictures)),
        patches=tensor(np.stack(patches)),
    )


def _vivid(pictures: NDArray[np.uint8], style: Style, amount: float) -> NDArray[np.float32]:
    """Pictures [N,S,S,3] with their colours' distance from the painting's tint multiplied."""
    colours = pictures.astype(np.float32)
    light = luma(colours)[..., None] + style.tint
    return np.asarray(light + amount * (colours - light), np.float32)


def _sharpened(pictures: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp mask on pictures [N,S,S,3]."""
    soft = np.stack([cv2.GaussianBlur(picture, (0, 0), SHARPEN_RADIUS) for picture in pictures])
    sharp: NDArray[np.float32] = pictures + amount * (pictures - soft)
    return sharp


def _drawn(pictures: NDArray[np.uint8], detail: Detail) -> NDArray[np.float32]:
    """Pictures [N,S,S,3] -> what `detail` adds of what the generator's `FineDetail` sees of them,
    [N,S,S,1]."""
    lumas = [luma(picture.astype(np.float32)) for picture in pictures]
    fine = np.stack([grey - cv2.GaussianBlur(grey, (5, 5), DETAIL_RADIUS) for grey in lumas])
    # What is this faint is the grain and the blocks of the photograph, and not its lines.
    drawn = detail.dark * np.minimum(fine + FAINT, 0) + detail.light * np.maximum(fine - FAINT, 0)
    return np.asarray(drawn[..., None], np.float32)


def _inked(targets: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    """Targets [N,S,S,3] with what is drawn into them, no darker on the whole: ink that only
    darkens would make a black mass of a meadow."""
    inked = np.clip(targets + drawn, 0, 255)
    size, reach = targets.shape[2:0:-1], INK_REACH / 8
    small = [cv2.resize(lost, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
             for lost in targets - inked]  # fmt: skip
    given = np.stack([cv2.resize(cv2.GaussianBlur(x, (0, 0), reach), size) for x in small])
    return np.asarray(np.clip(inked + given, 0, 255), np.float32)


def _flat(random: np.random.Generator, count: int, noise: float) -> Tensor:
    """Walls and skies: colours that shade into others, or do not, with noise or compressed."""
    colors = random.uniform(0, 1, (count, 3, 1, 1))
    shade = random.normal(0, 0.2, (count, 1, 3, 3)) * random.uniform(0, 1, (count, 1, 1, 1))
    coarse = torch.from_numpy((colors + shade).astype(np.float32))
    pictures = F.interpolate(coarse, (FLAT_SIDE, FLAT_SIDE), mode="bicubic")
    grain = random.standard_normal((count, 3, FLAT_SIDE, FLAT_SIDE), np.float32)
    pictures += torch.from_numpy(grain) * float(random.uniform(0, noise) / 255)
    for picture in pictures[::2]:
        picture.copy_(compressed(picture, int(random.integers(*QUALITY))))
    return rgb_to_planes(pictures.clamp(0, 1))


def _planes(clips: Tensor) -> Tensor:
    planes = rgb_to_planes(clips.flatten(0, 1))
    return planes.reshape(*clips.shape[:2], *planes.shape[1:])


def _cut(
    pictures: NDArray[np.uint8], places: list[tuple[int, int, bool]], side: int
) -> NDArray[np.uint8]:
    """Cut windows of `side` pixels: pictures [N,S,S,C] and (top, left, mirrored) each."""
    out = np.empty((len(pictures), side, side, pictures.shape[3]), np.uint8)
    for index, (top, left, mirrored) in enumerate(places):
        window = pictures[index][top : top + side, left : left + side]
        out[index] = window[:, ::-1] if mirrored else window
    return out
