"""How good a new style became, in a few figures that take seconds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.styles import Pack
from streamfx.stylizer import Stylizer
from streamfx.training.judge import Judge
from streamfx.training.metrics import mean_difference, ssim

Pictures = NDArray[np.uint8]

_PICTURES = 5
_MARGIN = 64
_SHIFT = 5  # pixels, odd: no grid of the network's has this period


@dataclass(frozen=True)
class Goodness:
    """Figures of one style; see `streamfx.training.probes.Figures` for the whole report's.

    Attributes:
        style: distance of restyled pictures to the painting; 0 = alike.
        untouched: that of the pictures themselves.
        ssim: structural similarity of restyled and untouched luma, at most 1.
        shift: mean difference that a shift of the picture makes, in levels of 255.
    """

    style: float
    untouched: float
    ssim: float
    shift: float

    def __str__(self) -> str:
        nearer = 100 * (1 - self.style / max(self.untouched, 1e-6))
        return (
            f"style distance {self.style:.3f}, {nearer:.0f} % nearer to your pictures than an "
            f"untouched photo; likeness to the photo {self.ssim:.2f}; "
            f"unsteadiness {self.shift:.1f} levels"
        )


def how_good(
    pack: Pack, name: str, paintings: tuple[Pictures, ...], contents: Pictures
) -> Goodness:
    """Judge a style on a few contents.

    Args:
        paintings: uint8 RGB [H, W, 3] pictures of the style.
        contents: uint8 RGB [P, S, S, 3].

    Raises:
        StreamFXError: the judge network is not installed.
        EngineError: no engine can be had.
    """
    judge = Judge()
    chosen = contents[:: max(1, len(contents) // _PICTURES)][:_PICTURES]
    area = chosen[0].shape[0] * chosen[0].shape[1]
    targets = [judge.target(painting, area) for painting in paintings[:_PICTURES]]
    figures = []
    with Stylizer(name, pack=pack) as stylizer:
        for content in chosen:
            painted = stylizer.picture(content)
            moved = stylizer.picture(cv2.copyMakeBorder(
                content[:-_SHIFT, :-_SHIFT], _SHIFT, 0, _SHIFT, 0, cv2.BORDER_REPLICATE
            ))  # fmt: skip
            figures.append(
                Goodness(
                    style=fmean(judge.compare(painted, target)[0] for target in targets),
                    untouched=fmean(judge.compare(content, target)[0] for target in targets),
                    ssim=ssim(content, painted),
                    shift=mean_difference(
                        painted[_MARGIN : -_MARGIN - _SHIFT, _MARGIN : -_MARGIN - _SHIFT],
                        moved[_MARGIN + _SHIFT : -_MARGIN, _MARGIN + _SHIFT : -_MARGIN],
                    ),
                )
            )
    return Goodness(
        **{
            each: fmean(getattr(figure, each) for figure in figures)
            for each in ("style", "untouched", "ssim", "shift")
        }
    )
