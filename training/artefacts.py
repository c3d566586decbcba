"""Figures of single artefacts, from pictures alone: borders, drift, ghosts, sliding texture.

Frames are uint8 RGB [H, W, 3]; differences are in 8-bit levels. Like `metrics`, this knows
nothing of clips or stylists: what the frames have to show is said at each figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .metrics import RGB, Floats, Motion, luma

TEXTURE_RADIUS = 4.0
TEXTURE_FLOOR = 0.5
MOVING = 1.0


def border_excess(narrow: RGB, wide: RGB, margin: int, band: int = 16) -> float:
    """How much worse the border of a frame is than its middle, in levels; 0 = no ringing.

    Args:
        narrow: the output of a frame.
        wide: the output of the same frame seen with `margin` more pixels on every side.
        margin: a multiple of the network's stride, or a shift would be measured with it.
        band: width of the border in pixels.

    Returns:
        Mean absolute difference of the two in the band, less that inside the band (which is
        there where a stylist looks at the whole frame), at least 0.
    """
    inside = wide[margin:-margin, margin:-margin]
    difference = np.abs(narrow.astype(np.float32) - inside.astype(np.float32))
    middle = np.zeros(difference.shape[:2], bool)
    middle[band:-band, band:-band] = True
    return max(0.0, float(difference[~middle].mean() - difference[middle].mean()))


def channel_drift(early: Sequence[RGB], late: Sequence[RGB], block: int = 1) -> float:
    """How far a still picture's output has wandered, in levels: the worst of R, G and B.

    Both sequences are averaged over time and over blocks of `block` x `block` pixels first,
    which leaves next to nothing of noise; then mean absolute difference.
    """
    before, after = (_blocks(frames, block) for frames in (early, late))
    return float(np.abs(after - before).mean((0, 1)).max())


def _blocks(frames: Sequence[RGB], block: int) -> Floats:
    mean = np.stack(frames).mean(0, dtype=np.float32)
    height, width = (side // block for side in mean.shape[:2])
    size = (width, height)
    cut = mean[: height * block, : width * block]
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)


def ghost_error(output: RGB, settled: RGB, trail: NDArray[np.bool_]) -> float:
    """What a moving thing has left behind, in levels.

    Args:
        output: the output of a frame, in motion.
        settled: the output of the same frame when nothing has moved for a while.
        trail: bool [H, W], the pixels that the thing left some frames ago.

    Returns:
        Mean absolute difference over the trail: what the past still adds there.
    """
    difference = np.abs(output.astype(np.float32) - settled.astype(np.float32))
    return float(difference[trail].mean())


@dataclass(frozen=True)
class TextureMotion:
    """Whose motion the painted texture has.

    Attributes:
        follows: correlation of the texture with the earlier frame's texture moved along with
            the things in the picture: 1 = it sticks to things.
        stays: the same without moving it: 1 = it sticks to the screen, as through a dirty pane.
        amount: deviation of the texture, in levels.
    """

    follows: float
    stays: float
    amount: float

    @property
    def is_there(self) -> bool:
        """Whether there is any texture to speak of; below half a level its motion is rounding."""
        return self.amount >= TEXTURE_FLOOR


def texture_motion(
    outputs: Sequence[RGB], inputs: Sequence[RGB], motions: Sequence[Motion], gap: int
) -> TextureMotion:
    """Follow what a stylist has painted on top of the input's own detail.

    Texture is luma without its blur (`TEXTURE_RADIUS`), less what a multiple of the input's
    explains. Only visible pixels that move by more than a pixel count. For an exact answer the
    motion is exact and in whole pixels.

    Args:
        motions: `motions[i]` leads from frame i + gap back to frame i.
    """
    textures = [_texture(out, into) for out, into in zip(outputs, inputs, strict=True)]
    grid = np.stack(np.meshgrid(*map(np.arange, inputs[0].shape[1::-1])), axis=-1)
    follows, stays = [], []
    for earlier, later, motion in zip(textures[:-gap], textures[gap:], motions, strict=True):
        moves = np.linalg.norm(motion.source - grid, axis=-1) > MOVING
        here = motion.visible & moves
        if here.any():
            follows.append(_correlation(later[here], motion.warp(earlier)[here]))
            stays.append(_correlation(later[here], earlier[here]))
    return TextureMotion(
        follows=float(np.mean(follows)) if follows else float("nan"),
        stays=float(np.mean(stays)) if stays else float("nan"),
        amount=float(np.mean([texture.std() for texture in textures])),
    )


def _texture(output: RGB, given: RGB) -> Floats:
    fine, own = _detail(output), _detail(given)
    explained = float((fine * own).mean()) / max(float((own * own).mean()), 1e-6)
    return fine - explained * own


def _detail(rgb: RGB) -> Floats:
    grey = luma(rgb).astype(np.float32)
    return grey - np.asarray(cv2.GaussianBlur(grey, (0, 0), TEXTURE_RADIUS), np.float32)


def _correlation(first: Floats, second: Floats) -> float:
    x, y = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((x * x).mean() * (y * y).mean()))
    return float((x * y).mean()) / scale if scale > 1e-6 else 0.0
