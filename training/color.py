"""RGB <-> the six half-resolution planes of the generator, differentiable (BT.709, limited)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows Y, Cb, Cr for R'G'B' in 0..1, before scaling to limited range (ITU-R BT.709-6).
_TO_YCC = torch.tensor(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5],
        [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748],
    ]
)
_SCALE = torch.tensor([219.0, 224.0, 224.0]) / 255
_OFFSET = torch.tensor([16.0, 128.0, 128.0]) / 255
_FORWARD = _SCALE[:, None] * _TO_YCC
_INVERSE = torch.linalg.inv(_FORWARD)


def rgb_to_planes(rgb: Tensor) -> Tensor:
    """RGB [N,3,H,W] in 0..1 -> planes [N,6,H/2,W/2] in 0..1, chroma averaged over 2x2."""
    ycc = rgb_to_ycc(rgb)
    return torch.cat([F.pixel_unshuffle(ycc[:, :1], 2), F.avg_pool2d(ycc[:, 1:], 2)], dim=1)


def planes_to_rgb(planes: Tensor) -> Tensor:
    """Planes [N,6,h,w] -> RGB [N,3,2h,2w], unclamped, chroma interpolated."""
    luma = F.pixel_shuffle(planes[:, :4], 2)
    chroma = F.interpolate(planes[:, 4:], scale_factor=2.0, mode="bilinear", align_corners=False)
    return ycc_to_rgb(torch.cat([luma, chroma], dim=1))


def rgb_to_ycc(rgb: Tensor) -> Tensor:
    """RGB [N,3,H,W] in 0..1 -> Y'CbCr [N,3,H,W], limited range, in 0..1."""
    return _mix(rgb, _FORWARD) + _OFFSET.to(rgb.device)[:, None, None]


def ycc_to_rgb(ycc: Tensor) -> Tensor:
    """The inverse of `rgb_to_ycc`, unclamped."""
    return _mix(ycc - _OFFSET.to(ycc.device)[:, None, None], _INVERSE)


def rgb_luma(rgb: Tensor) -> Tensor:
    """Luma of RGB, full range: [N,3,H,W] -> [N,1,H,W]."""
    return (rgb * _TO_YCC[0].to(rgb.device)[:, None, None]).sum(1, True)


def grey_like(rgb: Tensor, model: Tensor) -> Tensor:
    """RGB [N,3,H,W] without colour, with the mean and deviation of the model's luma [N,3,...]."""
    wanted, over = rgb_luma(model), (1, 2, 3)
    return grey_as(rgb, wanted.mean(over, keepdim=True), wanted.std(over, keepdim=True))


def grey_as(rgb: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """RGB [N,3,H,W] without colour, with this mean and deviation of luma [N,1,1,1]."""
    grey, over = rgb_luma(rgb), (1, 2, 3)
    scale = deviation / grey.std(over, keepdim=True).clamp(min=1e-3)
    grey = (grey - grey.mean(over, keepdim=True)) * scale + mean
    return grey.clamp(0, 1).expand(-1, 3, -1, -1)


def _mix(x: Tensor, matrix: Tensor) -> Tensor:
    """A 3x3 matrix on the channels of [N,3,H,W]; written out, which is the fast way here."""
    rows = [sum(row[i].item() * x[:, i] for i in range(3)) for row in matrix]
    return torch.stack(rows, dim=1)


def luma(planes: Tensor) -> Tensor:
    """Full-resolution luma of planes: [N,6,h,w] -> [N,1,2h,2w]."""
    return F.pixel_shuffle(planes[:, :4], 2)


def weigh_chroma(planes: Tensor, weight: float = 3.0) -> Tensor:
    """Planes [N,6,h,w] with chroma multiplied: its range is smaller than colour's weight."""
    return torch.cat([planes[:, :4], planes[:, 4:] * weight], dim=1)
