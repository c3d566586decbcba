"""The terms of the objective, one function each; their weights stand in the recipe.

Pictures are planes [N,6,h,w] or RGB [N,3,H,W] in 0..1; every function returns a scalar: a mean
over pictures of what each of them costs, so that the mean over parts of a batch is the whole's.
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


def teacher_texture(output: Tensor, target: Tensor) -> Tensor:
    """L1 between how much fine detail, dark and light, lies in blocks of 8x8: [N,1,H,W].

    A network too small to draw a stroke where the target has it is best off, by every difference
    of pixels, with half a stroke everywhere. Here it is as good with strokes of its own.
    """
    found, wanted = _texture(output), _texture(target)
    return (found - wanted).abs().mean()


def _texture(luma: Tensor) -> Tensor:
    """Fine detail of blocks, root mean square of its dark and of its light side: [N,1,H,W] ->
    [N,2,H/8,W/8]. Without the square both are the same, as fine detail has a mean of nothing."""
    fine = luma - F.avg_pool2d(luma, 5, 1, 2, count_include_pad=False)
    sides = torch.cat([fine.clamp(max=0), fine.clamp(min=0)], dim=1)
    return (F.avg_pool2d(sides.square(), 8) + 1e-5).sqrt()


def content(features: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Mean squared difference of features, each scale by the power of what is wanted."""
    terms = [
        (a.float() - b.float()).square().mean((1, 2, 3))
        / (b.float().square().mean((1, 2, 3)) + 1e-4)
        for a, b in zip(features, wanted, strict=True)
    ]
    return torch.stack(terms).mean()


def face_content(features: list[Tensor], wanted: list[Tensor], weights: Tensor) -> Tensor:
    """`content` where there is a face; a picture without one costs nothing.

    Args:
        features, wanted: [N,C,h,w] each, of the output and of the untouched picture.
        weights: [N,1,H,W], 0 off the faces.
    """
    terms = []
    for a, b in zip(features, wanted, strict=True):
        area = F.interpolate(weights, size=a.shape[-2:], mode="area")
        power = (area * b.float().square()).sum((1, 2, 3))
        error = (area * (a.float() - b.float()).square()).sum((1, 2, 3))
        terms.append(error / (power + 1e-4 * a.shape[1] * area.sum((1, 2, 3)) + 1e-6))
    return torch.stack(terms).mean()


def face_edges(output: Tensor, wanted: Tensor, weights: Tensor, scales: int = 3) -> Tensor:
    """How much the edges and shades of faces disagree, whatever their contrast.

    One minus the correlation of the luma's gradients, at full size and at halves of it: a face is
    known by where it is darker and where it is lighter, and not by how much. A picture without
    a face costs nothing.

    Args:
        output, wanted: [N,1,H,W].
        weights: [N,1,H,W], 0 off the faces.
    """
    terms = []
    for scale in range(scales):
        if scale:
            output, wanted, weights = (F.avg_pool2d(x, 2) for x in (output, wanted, weights))
        area = weights[..., 1:, 1:]
        found, goal = _gradients(output), _gradients(wanted)
        together = (area * found * goal).sum((1, 2, 3))
        power = (area * found.square()).sum((1, 2, 3))
        wanted_power = (area * goal.square()).sum((1, 2, 3))
        # A thousandth, so that a face that is paled away does not agree.
        both = (power * wanted_power + 1e-24).sqrt() + 1e-3 * wanted_power
        # Where there is no face, or one with less contrast than noise has, nothing can disagree.
        known = wanted_power / (wanted_power + 1e-5 * area.sum((1, 2, 3)) + 1e-6)
        terms.append(known * (1 - together / both))
    return torch.stack(terms).mean()


def _gradients(luma: Tensor) -> Tensor:
    """Differences to the right and lower neighbours: [N,1,H,W] -> [N,2,H-1,W-1]."""
    here = luma[..., :-1, :-1]
    return torch.cat([luma[..., :-1, 1:] - here, luma[..., 1:, :-1] - here], dim=1)


def statistics(maps: list[Tensor]) -> Statistics:
    """Mean and deviation of every channel of every map [N,C,h,w]."""
    result = []
    for each in maps:
        x = each.float()
        mean = x.mean((2, 3))
        variance = (x - mean[:, :, None, None]).square().mean((2, 3))
        result.append((mean, torch.sqrt(variance + 1e-5)))
    return result


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


def shown(pictures: Tensor) -> Tensor:
    """Pictures as a screen shows them, 0..1; a tenth of what is beyond is left, to learn from.

    A line that is blacker than black looks black, so its strength must not be held against it.
    """
    return torch.lerp(pictures.clamp(0, 1), pictures, 0.1)


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
    seen = visible.sum((1, 2, 3)) * later.shape[1] + 1.0
    return (difference.sum((1, 2, 3)) / seen).mean()


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


def flatness(output: Tensor, cell: int) -> Tensor:
    """Deviation of each channel of an output that ought to be smooth from its own shading.

    Args:
        cell: side of the squares whose means are the shading, pixels; a divisor of the sides.
    """
    means = F.avg_pool2d(output, cell)
    shading = F.interpolate(means, size=output.shape[-2:], mode="bilinear")
    return (output - shading).square().mean((2, 3)).add(1e-8).sqrt().mean()


def interior(x: Tensor, border: int) -> Tensor:
    """Cut the border away, where padding and not the picture decides."""
    return x[..., border:-border, border:-border]
