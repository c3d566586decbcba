"""The terms of the objective, one function each; their weights stand in the recipe.

Pictures are planes [N,6,h,w] or RGB [N,3,H,W] in 0..1; every function returns a scalar.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Statistics = list[tuple[Tensor, Tensor]]


def generator_adversarial(logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator (Goodfellow et al. 2014)."""
    return F.softplus(-logits.float()).mean()


def discriminator_adversarial(real: Tensor, fake: Tensor) -> Tensor:
    """Loss of a discriminator: real up, fake down."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def gradient_penalty(logits: Tensor, inputs: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018): squared gradient of the real logits by the real inputs."""
    (gradient,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def teacher_mse(output: Tensor, target: Tensor) -> Tensor:
    """‖y − G‖² per value."""
    return F.mse_loss(output, target)


def teacher_l1(output: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(output, target)


def teacher_gradient(output: Tensor, target: Tensor) -> Tensor:
    """L1 between the horizontal and vertical differences: edges where the target has them."""
    difference = output - target
    across = difference[..., :, 1:] - difference[..., :, :-1]
    down = difference[..., 1:, :] - difference[..., :-1, :]
    return across.abs().mean() + down.abs().mean()


def content(features: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Mean squared difference of features, each scale by the power of what is wanted."""
    terms = [
        (a.float() - b.float()).square().mean() / (b.float().square().mean() + 1e-4)
        for a, b in zip(features, wanted, strict=True)
    ]
    return torch.stack(terms).mean()


def style(found: Statistics, wanted: Statistics) -> Tensor:
    """Distance of channel means and deviations to the painting's (Huang and Belongie 2017)."""
    terms = []
    for (mean, deviation), (goal_mean, goal_deviation) in zip(found, wanted, strict=True):
        scale = goal_deviation.mean(1, keepdim=True) + 1e-3
        terms.append(((mean - goal_mean) / scale).abs().mean())
        terms.append(((deviation - goal_deviation) / scale).abs().mean())
    return torch.stack(terms).mean()


def contrast(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels [...,H,W], at least 0.01.

    What measures unsteadiness is divided by it: a term that a paler picture lowers would be
    met by paling. The looks report does the same.
    """
    across = (pictures[..., :, 1:] - pictures[..., :, :-1]).abs().mean()
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    return ((across + down) / 2).clamp(min=0.01)


def beyond(value: Tensor, free: float) -> Tensor:
    """What of a value is more than costs nothing."""
    return F.relu(value - free)


def warping(later: Tensor, earlier_moved: Tensor, visible: Tensor) -> Tensor:
    """Mean difference of a frame to its predecessor moved onto it, where both see the thing.

    Args:
        later, earlier_moved: [N,C,H,W].
        visible: [N,1,H,W], 1.0 where the comparison holds.
    """
    difference = (later - earlier_moved).abs() * visible
    return difference.sum() / (visible.sum() * later.shape[1] + 1.0)


def equivariance(here: Tensor, there: Tensor, rows: int, columns: int, border: int) -> Tensor:
    """Mean difference between two windows on one picture, where both look at it.

    A network whose grid shows gives a thing another look when it lies elsewhere on the grid.

    Args:
        here, there: [C,S,S]; `there` begins (rows, columns) further on in the picture.
        border: pixels at every side that the edges of the windows decide.
    """
    seen = here[:, rows:, columns:]
    same = there[:, : there.shape[1] - rows, : there.shape[2] - columns]
    return (interior(seen, border) - interior(same, border)).abs().mean()


def flatness(output: Tensor) -> Tensor:
    """Deviation of each channel of an output that ought to be flat."""
    centred = output - output.mean((2, 3), keepdim=True)
    return centred.square().mean((2, 3)).add(1e-8).sqrt().mean()


def interior(x: Tensor, border: int) -> Tensor:
    """Cut the border away, where padding and not the picture decides."""
    return x[..., border:-border, border:-border]
