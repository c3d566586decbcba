"""Whole views of the contents, for the style term."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.pictures import scale_to_area
from streamfx.training.color import planes_to_rgb, rgb_to_planes
from streamfx.training.exposure import focus
from streamfx.training.facemaps import HEAD
from streamfx.training.goals import AREA, Goals, look_at
from streamfx.training.library import Library
from streamfx.training.losses import interior
from streamfx.training.losses import shown as shown_planes
from streamfx.training.networks import Networks
from streamfx.training.perceptual import ContentNetwork
from streamfx.training.recipes import DataConfig
from streamfx.training.trouble import trouble
from streamfx.training.windows import ENCODER_SIDE, draw_styles, style_crop, tensor, window

# Of a content's side: of the narrowest part that a view shows, and the view's own.
VIEW_PART, VIEW_SIDE = 0.6, 5 / 9
INVENTED_SIDE = 320
ZOOM = (0.8, 1.6)  # of an invented painting, to the size at which others are seen


@dataclass(frozen=True)
class Views:
    """Contents as a camera shows them, whole or nearly so: what the style term looks at. A corner
    of sky need not have a painting's marks. There is no noise, as grain would do for them.

    Attributes:
        inputs: [V,6,h,w], planes.
        sharpen: [V,1,1,1], their focus.
        styles: [V], numbers of their styles; -1 for one that is no painting of the run's, but a
            part of one in other colours, so that any picture can be a style.
        pictures: [V,3,256,256], for the style encoder.
        paintings: [V,3,320,320], what to come near to where the style is -1; None where it never
            is.
        faces: [V,1,2h,2w], how much of each pixel is face, see `facemaps`; None where the library
            knows of no faces.
    """

    inputs: Tensor
    sharpen: Tensor
    styles: Tensor
    pictures: Tensor
    paintings: Tensor | None
    faces: Tensor | None


def whole_views(contents: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Up to `count` of the contents [P,S,S,C], evenly chosen, as large as views are: [N,s,s,C]."""
    side = _side(contents)
    size = (side, side)
    chosen = contents[:: max(1, len(contents) // count)][:count]
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in chosen]
    return np.stack(small).reshape(-1, side, side, contents.shape[3])


def _side(contents: NDArray[np.uint8]) -> int:
    return int(contents.shape[1] * VIEW_SIDE) // 16 * 16


def draw_views(random: np.random.Generator, library: Library, data: DataConfig) -> Views:
    side = _side(library.contents)
    views, styles, pictures, paintings = [], [], [], []
    for _ in range(data.views):
        index = int(random.integers(len(library.contents)))
        content = library.contents[index]
        if library.faces is not None:
            content = np.concatenate([content, library.faces[index]], -1)
        part = window(random, content, int(len(content) * random.uniform(VIEW_PART, 1)))
        view = np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        views.append(view[:, ::-1] if random.random() < 0.5 else view)
        number = draw_styles(random, library, data)[0]
        own = library.styles[number].paintings
        painting = own[int(random.integers(len(own)))]
        if random.random() < data.invented_share:
            number = -1
            painting = _invented(random, painting)
            size = (ENCODER_SIDE, ENCODER_SIDE)
            pictures.append(cv2.resize(painting, size, interpolation=cv2.INTER_AREA))
        else:
            pictures.append(style_crop(random, painting))
            painting = np.zeros((INVENTED_SIDE, INVENTED_SIDE, 3), np.uint8)
        styles.append(number)
        paintings.append(painting)
    shown = tensor(np.stack(views))
    seen = trouble(random, shown[:, None, :3], data, noise=0)
    inputs = rgb_to_planes(seen[:, 0])
    return Views(
        inputs=inputs,
        sharpen=focus(inputs[:, :4]),
        styles=torch.tensor(styles),
        pictures=tensor(np.stack(pictures)),
        paintings=tensor(np.stack(paintings)) if data.invented_share else None,
        faces=shown[:, 3:] if library.faces is not None else None,
    )


def _invented(random: np.random.Generator, painting: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square part of a painting in other colours."""
    height, width = painting.shape[:2]
    least = height * width * ((INVENTED_SIDE + 1) / min(height, width)) ** 2
    scaled = scale_to_area(painting, max(AREA * random.uniform(*ZOOM) ** 2, least))
    part = window(random, scaled, INVENTED_SIDE).astype(np.float32) / 255
    if random.random() < 0.5:
        part = part[..., random.permutation(3)]
    part = part ** np.exp2(random.uniform(-0.4, 0.4, 3))
    grey = part.mean(-1, keepdims=True)
    part = grey + random.uniform(0.3, 1.2) * (part - grey)
    return np.asarray(np.clip(part * 255 + 0.5, 0, 255), np.uint8)


def style_of_views(
    views: Views,
    networks: Networks,
    goals: Goals,
    features: ContentNetwork,
    border: int,
    in_grey: bool,
) -> Tensor:
    """Distance of restyled views to what they are to look like, a number.

    Faces count, but have no gradient: what is around them is to make up for them.

    Args:
        goals: of the run's styles, those of the catalogue first.
        border: pixels at each edge that count for nothing.
        in_grey: whether colours count for nothing.
    """
    wanted = goals.rows(views.styles)
    if views.paintings is not None:
        wanted = wanted.replaced(views.styles < 0, look_at(features, views.paintings))
    code = networks.code(views.styles, networks.encoder(views.pictures).float())
    full = code.new_ones(len(code), 1)
    out = networks.generator(views.inputs, code, full, views.sharpen).float()
    rgb = planes_to_rgb(shown_planes(out))
    if views.faces is not None:
        rgb = torch.lerp(rgb, rgb.detach(), (views.faces / HEAD).clamp(max=1))
    shown = interior(rgb, border)
    if in_grey:
        shown = wanted.grey(shown)
    return wanted.distance(features(shown), in_grey)
