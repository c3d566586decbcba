"""Filters whose kernels are fixed, and a convolution made with one."""

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
    """A binomial low pass on each channel, to be used before a stride of two or with it.

    What a stride folds over comes out otherwise where the thing lies elsewhere on the grid
    (Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019).
    """

    def __init__(self, channels: int, taps: tuple[int, ...] = (1, 4, 6, 4, 1), stride: int = 1):
        row = torch.tensor(taps) / sum(taps)
        kernel = (row[:, None] * row).expand(channels, 1, len(taps), len(taps)).clone()
        super().__init__(kernel, channels, stride)


class Double(Blur):
    """Twice the height and width, by linear interpolation.

    Written as the repeat and the low pass that it is, which run faster than a resize. With the
    repeat alone a thing looks otherwise where it lies elsewhere on the grid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, (1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Rise(nn.Conv2d):
    """A 3x3 convolution of what is enlarged by two, linearly (see `Double`); written as the
    convolution before the enlargement that comes to the same, a quarter of the pixels with four
    times the channels, which runs several times faster.

    The weights are the convolution's: a thing is drawn alike wherever it lies on the grid, as it
    would not be if each of the four pixels had weights of its own.
    """

    # Of the pixels at 2i and 2i + 1 of the enlarged row: what each of their three taps sees of
    # pixels i - 1, i and i + 1.
    taps: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)
        # Rows 2i - 1 to 2i + 2 as linear interpolation makes them.
        rows = torch.tensor([[3.0, 1, 0], [1, 3, 0], [0, 3, 1], [0, 1, 3]]) / 4
        self.register_buffer("taps", torch.stack([rows[0:3], rows[1:4]]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        phases = self._phases()
        kernel = phases.reshape(-1, *phases.shape[2:])
        bias = self.bias.repeat_interleave(4) if self.bias is not None else None
        return F.pixel_shuffle(F.conv2d(x, kernel, bias, padding=1), 2)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The same as a plain convolution, for a graph.

        Its taps are such that a smooth area has no grid in bf16 either: rounded one by one they
        would add up to something else in each of the four pixels.
        """
        phases = self._phases()
        outputs, _, inputs = phases.shape[:3]
        taps = phases.flatten(3).movedim(1, 2)  # [O,I,4,9]
        largest = taps.abs().amax((2, 3), keepdim=True).clamp(min=1e-12)
        # Whole numbers up to 256, of steps that are powers of two, are exact in bf16.
        step = torch.exp2(torch.ceil(torch.log2(largest)) - 8)
        steps = taps / step
        whole = steps.floor()
        missing = steps.sum(3, keepdim=True).mean(2, keepdim=True).round() - whole.sum(3, True)
        rank = (whole - steps).argsort(3).argsort(3)
        taps = (whole + (rank < missing)) * step
        conv = nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=self.bias is not None)
        conv.weight.copy_(taps.movedim(2, 1).reshape(conv.weight.shape))
        if conv.bias is not None and self.bias is not None:
            conv.bias.copy_(self.bias.repeat_interleave(4))
        return nn.Sequential(conv, nn.PixelShuffle(2))

    def _phases(self) -> Tensor:
        """Kernels [O,4,I,3,3] of what stands before the enlargement, for each of four pixels."""
        kernels = torch.einsum("oitu,ptk,qul->opqikl", self.weight, self.taps, self.taps)
        return kernels.flatten(1, 2)


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
