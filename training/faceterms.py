"""What the objective asks of faces in a batch: that they stay whose they are."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.training import losses
from streamfx.training.batches import Batch
from streamfx.training.color import grey_like, luma, planes_to_rgb, rgb_luma, rgb_to_planes
from streamfx.training.losses import interior
from streamfx.training.perceptual import CONTENT, ContentNetwork

_SHADING = 0.2  # deviation of luma at which faces are compared
_FAINTEST = 0.02  # that of a face which has as good as no shades


def edges_of_faces(batch: Batch, out: Tensor, border: int) -> Tensor:
    """Whether faces have the edges and shades that they have in the untouched contents.

    Args:
        batch: one that knows faces.
        out: outputs of its clips [B,frames,6,h,w]; the middle frame counts.
        border: pixels at every side that do not count.
    """
    assert batch.content is not None and batch.faces is not None
    pictures = luma(out[:, out.shape[1] // 2]), luma(rgb_to_planes(batch.content)), batch.faces
    found, wanted, faces = (interior(each, border) for each in pictures)
    return losses.face_edges(found, wanted, faces)


def content_of_faces(batch: Batch, out: Tensor, border: int, network: ContentNetwork) -> Tensor:
    """Whether the content network sees in faces what it sees in the untouched contents.

    It sees them without colours and with the contents' contrast: those belong to the style.

    Args: see `edges_of_faces`.
    """
    assert batch.content is not None and batch.faces is not None
    found = grey_like(planes_to_rgb(out[:, out.shape[1] // 2]), batch.content)
    wanted = grey_like(batch.content, batch.content)
    features = network(interior(found, border))
    with torch.no_grad():
        goal = network(interior(wanted, border))
    return losses.face_content(features[CONTENT], goal[CONTENT], interior(batch.faces, border))


def shading_of_faces(rgb: Tensor, wanted: Tensor, ovals: Tensor) -> Tensor:
    """Whether faces are of one colour, and shaded as they were.

    The mean difference of luma, both brought to one mean and deviation in the face, and that of
    the colour to its mean there: a forehead in another colour than the cheeks moves the brows.

    Args:
        rgb, wanted: [N,3,H,W] in 0..1, of the output and of the untouched content.
        ovals: [N,1,H,W], 1.0 inside the faces and 0.0 elsewhere.
    """

    def mean(values: Tensor) -> Tensor:
        return (values * ovals).sum((2, 3), True) / ovals.sum((2, 3), True).clamp(min=1)

    def shading(pictures: Tensor) -> Tensor:
        around = rgb_luma(pictures) - mean(rgb_luma(pictures))
        return _SHADING * around / (mean(around.square()).sqrt() + _FAINTEST)

    colours = rgb - rgb_luma(rgb)
    shades = mean((shading(rgb) - shading(wanted)).abs())
    return (shades + mean((colours - mean(colours)).abs()).mean(1, True)).mean()
