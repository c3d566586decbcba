"""Filters whose kernels are fixed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Filter(nn.Module):
    """A convolution with a fixed kernel and "same" zero padding."""

    kernel: Tensor

    def __init__(self, kernel: Tensor, groups: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.groups, self.stride = groups, stride
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padding = self.kernel.shape[-1] // 2
        return F.conv2d(x, self.kernel, None, self.stride, padding, 1, self.groups)


class Blur(Filter):
    """A binomial low pass on each channel, to be used where the resolution changes: before a
    stride of two or with it, and before an enlargement that is only linear.

    What a stride folds over, and the corners that linear interpolation leaves, come out otherwise
    where the thing lies elsewhere on the grid (Zhang, "Making Convolutional Networks
    Shift-Invariant Again", 2019).
    """

    def __init__(
        self, channels: int, stride: int = 1, taps: tuple[int, ...] = (1, 4, 6, 4, 1)
    ) -> None:
        super().__init__(_each(channels, _binomial(*taps)), channels, stride)


class Repeated(Filter):
    """A filter on what has twice the height and width, by repeated pixels.

    A linear enlargement written so runs faster than a resize. With the repeat alone a thing looks
    otherwise where it lies elsewhere on the grid.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Double(Repeated):
    """Twice the height and width [N,C,2h,2w], by linear interpolation."""

    def __init__(self, channels: int) -> None:
        super().__init__(_each(channels, _binomial(1, 2, 1)), channels)


class Enlarge(Repeated):
    """Maps [N,L+C,h,w] at a quarter of a frame's resolution, enlarged by linear interpolation.

    The first L are for luma, and are enlarged to every pixel: [N,4L,2h,2w], unshuffled by two.
    The others are for chroma: [N,C,2h,2w]. Gains and additions that are smooth from pixel to pixel
    do not show where a thing lies on the grid. Taps and their sums are exact in bf16.
    """

    def __init__(self, lumas: int, chromas: int) -> None:
        # Rows 4i to 4i + 3 of the luma, seen from rows 2i and 2i + 1 of the repeated maps.
        rows = torch.tensor([[3.0, 4, 1], [1, 4, 3]]) / 8
        pixels = torch.einsum("pi,qj->pqij", rows, rows).reshape(4, 3, 3)
        kernel = torch.zeros(4 * lumas + chromas, lumas + chromas, 3, 3)
        for number in range(lumas):
            kernel[4 * number : 4 * number + 4, number] = pixels
        for number in range(chromas):
            kernel[4 * lumas + number, lumas + number] = _binomial(1, 2, 1)
        super().__init__(kernel)


def _binomial(*taps: int) -> Tensor:
    """A square kernel of these taps, of sum 1."""
    row = torch.tensor(taps) / sum(taps)
    return row[:, None] * row


def _each(channels: int, kernel: Tensor) -> Tensor:
    """One kernel for each of the channels alone, as a grouped convolution takes it."""
    return kernel.expand(channels, 1, *kernel.shape).clone()


class FineDetail(Filter):
    """Luma unshuffled by two [N,4,h,w] -> each pixel less the Gaussian mean around it.

    It is the same filter at every pixel (deviation two pixels, cut to what a 3x3 kernel sees),
    so what is drawn with it belongs to the picture and not to a grid.
    """

    def __init__(self) -> None:
        # The six pixels of three cells, seen from the two of the middle one.
        steps = torch.arange(6)[None] - 2.0 - torch.arange(2)[:, None]
        # They lie unevenly around each of the two: what has no counterpart is left out.
        rows = torch.exp(-(steps**2) / 8) * (steps.abs() < 2.5)
        rows = rows / rows.sum(1, keepdim=True)
        mean = torch.einsum("iy,jx->ijyx", rows, rows).reshape(4, 1, 6, 6)
        kernel = -F.pixel_unshuffle(mean, 2).reshape(4, 4, 3, 3)
        kernel[:, :, 1, 1] += torch.eye(4)
        super().__init__(kernel)
