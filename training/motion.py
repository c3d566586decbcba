"""Moving clips made from stills, with exact flow and visibility.

A clip is a background and up to two feathered cut-outs, each a still on a smooth trajectory.
Every frame is rendered by inverse sampling, so where a pixel came from is known and not
estimated. Contents and their targets are rendered by the same sampling, so the targets are
consistent over time by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LAYERS = 3


@dataclass(frozen=True)
class Trajectories:
    """How the layers of a batch of clips move.

    Attributes:
        matrices: [B,L,T,2,3], position in the frame -> position in the layer's still; pixels,
            the origin in the middle of both.
        radii: [B,L,2], half axes of a cut-out's ellipse in its still, pixels; the background's
            are infinite, those of a cut-out that is not there are 0.
        wobble: [B,L,3], amplitude, count and phase of the bumps on a cut-out's outline.
    """

    matrices: Tensor
    radii: Tensor
    wobble: Tensor


@dataclass(frozen=True)
class Coverage:
    """Which layer is seen where.

    Attributes:
        weights: [B,L,T,s,s], blending weights, sum 1 over the layers.
        owner: [B,T,s,s], index of the layer that is seen.
        sure: [B,T,s,s], False where layers blend.
    """

    weights: Tensor
    owner: Tensor
    sure: Tensor


def draw_trajectories(
    random: np.random.Generator, batch: int, frames: int, side: int, still_share: float
) -> Trajectories:
    """Draw smooth motion: pans by whole pixels, pans with zoom and rotation, or none at all."""
    matrices = np.zeros((batch, LAYERS, frames, 2, 3), np.float32)
    radii = np.zeros((batch, LAYERS, 2), np.float32)
    wobble = np.zeros((batch, LAYERS, 3), np.float32)
    radii[:, 0] = np.inf
    time = np.arange(frames, dtype=np.float32) - (frames - 1) / 2
    for clip in range(batch):
        still = random.random() < still_share
        moving_parts = not still or random.random() < 0.5
        for layer in range(LAYERS):
            moves = not still if layer == 0 else moving_parts
            whole = random.random() < 0.5
            speed = random.normal(0, 3.0, 2) * moves
            bend = random.normal(0, 0.3, 2) * moves
            turn = random.normal(0, 0.008) * moves * (not whole)
            grow = random.normal(0, 0.008) * moves * (not whole)
            zoom = random.uniform(0.75, 1.3)
            if whole:
                speed, bend, zoom = np.round(speed), np.zeros(2), 1.0
            place = random.uniform(-0.3, 0.3, 2) * side if layer else np.zeros(2)
            angle, scale = turn * time, zoom * np.exp(grow * time)
            shift = place[:, None] + speed[:, None] * time + bend[:, None] * time**2
            if whole:
                shift = np.floor(shift)
            matrix = matrices[clip, layer]
            matrix[:, 0, 0] = matrix[:, 1, 1] = scale * np.cos(angle)
            matrix[:, 0, 1], matrix[:, 1, 0] = -scale * np.sin(angle), scale * np.sin(angle)
            matrix[:, :, 2] = -np.einsum("tij,jt->ti", matrix[:, :, :2], shift)
            if layer and random.random() < 0.6:
                radii[clip, layer] = random.uniform(0.12, 0.35, 2) * side * zoom
                wobble[clip, layer] = (
                    random.uniform(0, 0.2),
                    random.integers(2, 7),
                    random.uniform(0, 2 * np.pi),
                )
    return Trajectories(
        torch.from_numpy(matrices), torch.from_numpy(radii), torch.from_numpy(wobble)
    )


def _grid(side: int, device: torch.device) -> Tensor:
    """Positions [s,s,2] of a frame's pixels, (x, y), the origin in the middle."""
    axis = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)


def _positions(motion: Trajectories, side: int) -> Tensor:
    """[B,L,T,s,s,2]: where in its layer's still every pixel of every frame lies."""
    return _affine(motion.matrices, _grid(side, motion.matrices.device))


def _affine(matrices: Tensor, points: Tensor) -> Tensor:
    """Matrices [...,2,3] times points [(...,)s,s,2], homogeneous: [...,s,s,2]."""
    # Written out: a batched product of such small matrices is many times slower.
    m = matrices[..., None, None, :, :]
    x, y = points[..., 0], points[..., 1]
    rows = [m[..., i, 0] * x + m[..., i, 1] * y + m[..., i, 2] for i in range(2)]
    return torch.stack(rows, dim=-1)


def cover(motion: Trajectories, side: int, feather: float = 2.0) -> Coverage:
    """Blending weights and owners of a batch of clips of `side` pixels."""
    positions = _positions(motion, side)
    radii = motion.radii[:, :, None, None, None]
    bumps, count, phase = (motion.wobble[:, :, i, None, None, None] for i in range(3))
    angle = torch.atan2(positions[..., 1], positions[..., 0])
    outline = 1 + bumps * torch.sin(count * angle + phase)
    x, y = (positions / radii.clamp(min=1e-3)).unbind(-1)
    ratio = torch.sqrt(x * x + y * y) / outline
    edge = radii.amin(dim=-1).clamp(min=1e-3)
    alpha = ((1 - ratio) * edge / feather + 0.5).clamp(0, 1)
    alpha = torch.where(torch.isinf(edge), torch.ones_like(alpha), alpha)
    weights = torch.zeros_like(alpha)
    left = torch.ones_like(alpha[:, 0])
    for layer in reversed(range(LAYERS)):
        weights[:, layer] = left * alpha[:, layer]
        left = left * (1 - alpha[:, layer])
    best = weights.max(dim=1)
    return Coverage(weights, best.indices, best.values > 0.98)


def render(stills: Tensor, motion: Trajectories, coverage: Coverage) -> Tensor:
    """Render clips: stills [B,L,3,S,S] -> frames [B,T,3,s,s]."""
    b, layers, channels, size, _ = stills.shape
    frames, side = coverage.owner.shape[1], coverage.owner.shape[2]
    positions = _positions(motion, side)
    grid = positions * (2.0 / size)
    grid = grid.reshape(b * layers, frames * side, side, 2)
    flat = stills.reshape(b * layers, channels, size, size)
    sampled = F.grid_sample(flat, grid, padding_mode="reflection", align_corners=False)
    sampled = sampled.reshape(b, layers, channels, frames, side, side)
    mixed = (sampled * coverage.weights[:, :, None]).sum(1)
    return mixed.transpose(1, 2).contiguous()


def flow_between(
    motion: Trajectories, coverage: Coverage, later: int, earlier: int
) -> tuple[Tensor, Tensor]:
    """Exact backward flow of two frames.

    Returns:
        flow [B,2,s,s], (x, y) pixels from a place in `later` to the same thing in `earlier`;
        visible [B,1,s,s], 1.0 where that thing is seen in both and nothing is blended.
    """
    side = coverage.owner.shape[2]
    grid = _grid(side, motion.matrices.device)
    here = _affine(motion.matrices[:, :, later], grid)
    linear = torch.linalg.inv(motion.matrices[:, :, earlier, :, :2])
    offset = -linear @ motion.matrices[:, :, earlier, :, 2:]
    there = _affine(torch.cat([linear, offset], dim=-1), here)
    owner = coverage.owner[:, later]
    index = owner[:, None, :, :, None].expand(-1, 1, -1, -1, 2)
    there = torch.gather(there, 1, index)[:, 0]
    flow = (there - grid).permute(0, 3, 1, 2).contiguous()
    inside = (there.abs() <= side / 2 - 1).all(dim=-1)
    sample = there * (2.0 / side)
    known = torch.stack(
        [coverage.owner[:, earlier].float(), coverage.sure[:, earlier].float()], dim=1
    )
    known = F.grid_sample(known, sample, mode="nearest", align_corners=False)
    same = (known[:, 0] - owner).abs() < 0.5
    visible = inside & same & (known[:, 1] > 0.5) & coverage.sure[:, later]
    return flow, visible[:, None].float()


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Sample a picture [N,C,s,s] at each pixel's place plus flow [N,2,s,s] (pixels)."""
    side = picture.shape[-1]
    grid = (_grid(side, flow.device) + flow.permute(0, 2, 3, 1)) * (2.0 / side)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
