"""What the objective asks of faces in a batch: that they stay whose they are."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.training import losses
from streamfx.training.batches import Batch
from streamfx.training.color import grey_like, luma, planes_to_rgb, rgb_to_planes
from streamfx.training.losses import interior
from streamfx.training.perceptual import CONTENT, ContentNetwork


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
