"""What a camera's automatic exposure, white balance and focus do, from the whole frame at once.

The networks learn on pictures of like brightness, contrast, tint and sharpness: a dull clip comes
out as rich as the paintings are, and a soft one as crisp as a sharp one. The same functions prepare
the contents of a run and stand in the exported graph. After Reinhard et al., "Color Transfer
between Images" (2001), within limits: a frame that fades to black must not be lit up again.
"""

from __future__ import annotations

from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamfx.training.color import rgb_to_ycc, ycc_to_rgb
from streamfx.training.filters import FineDetail

# Luma, Cb, Cr of 255 as planes hold them: what the photographs of the default pack have.
_MEAN = (0.47, 0.49, 0.50)
_DEVIATION = (0.19, 0.045, 0.045)
_FARTHEST = (0.12, 0.04, 0.04)  # that a mean is moved
_LEAST_GAIN, _MOST_GAIN = 0.8, 1.35  # more, and a face in a dim room is a mask of blots
_FAINT = 0.03  # deviation of luma below which there is nothing to expose

_USUAL_DETAIL = 5.0 / 255  # root mean square of what stands out in four pixels
_LEAST_FOCUS, _MOST_FOCUS = 0.4, 2.0
# Detail that may be the sensor's or the codec's, and is not drawn with: of four pixels, and of the
# wider surroundings that `FineDetail` sees.
_GRAIN, _FINE_GRAIN = 1 / 255, 1.5 / 255


def expose(ycc: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset [N,3,1,1] that bring frames near the usual exposure and white balance.

    Args:
        ycc: luma, Cb and Cr of whole frames [N,3,h,w], 0..1, limited range.
    """
    mean = ycc.mean((2, 3), keepdim=True)
    deviation = ((ycc - mean).square().mean((2, 3), keepdim=True) + 1e-6).sqrt()
    power = deviation[:, :1].square()
    seen = power / (power + _FAINT**2)
    wanted, usual, farthest = (
        torch.tensor(values, device=ycc.device)[None, :, None, None]
        for values in (_DEVIATION, _MEAN, _FARTHEST)
    )
    gain = 1 + seen * ((wanted / deviation).clamp(_LEAST_GAIN, _MOST_GAIN) - 1)
    moved = torch.minimum(torch.maximum(usual - mean, -farthest), farthest)
    return gain, mean + seen * moved - gain * mean


def focus(cells: Tensor) -> Tensor:
    """Gain [N,1,1,1] on fine detail that brings frames near the usual sharpness.

    Args:
        cells: luma of whole frames, or of some of their cells, unshuffled by two [N,4,h,w].
    """
    return (_USUAL_DETAIL / _sharpness(cells)).clamp(_LEAST_FOCUS, _MOST_FOCUS)


def refocus(before: Tensor, after: Tensor) -> Tensor:
    """What `focus` is to say [N,1,1,1] of parts [N,4,h,w] of frames that were as sharp as is usual
    before something happened to them."""
    lost = (_sharpness(before) + _GRAIN) / (_sharpness(after) + _GRAIN)
    return lost.clamp(_LEAST_FOCUS, _MOST_FOCUS)


def some_focus(random: np.random.Generator, count: int) -> Tensor:
    """Gains [N,1,1,1] that `focus` may say, drawn at random."""
    drawn = np.exp(random.uniform(log(_LEAST_FOCUS), log(_MOST_FOCUS), (count, 1, 1, 1)))
    return torch.from_numpy(drawn.astype(np.float32))


def _sharpness(cells: Tensor) -> Tensor:
    """Root mean square [N,1,1,1] of what stands out in the cells [N,4,h,w]."""
    power = strong(cells - cells.mean(1, keepdim=True), _GRAIN).square().mean((1, 2, 3), True)
    return (power + 1e-8).sqrt()


def strong(detail: Tensor, grain: float = _FINE_GRAIN) -> Tensor:
    """What of the fine detail (see `FineDetail`) is no grain."""
    return detail - detail.clamp(-grain, grain)


def exposed(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Whole pictures [P,H,W,3], of even sides, as the generator is to see them."""
    out = np.empty_like(pictures)
    fine = FineDetail()
    for place, picture in zip(out, pictures, strict=True):
        rgb = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
        ycc = rgb_to_ycc(rgb)
        gain, offset = expose(ycc)
        ycc = ycc * gain + offset
        luma, chroma = ycc[:, :1], ycc[:, 1:]
        gain = focus(F.pixel_unshuffle(luma, 2))
        cells = F.pixel_unshuffle(F.pad(luma, (4, 4, 4, 4), mode="replicate"), 2)
        detail = strong(fine(cells)[..., 2:-2, 2:-2])
        luma = luma + F.pixel_shuffle((gain - 1) * detail, 2)
        shown = ycc_to_rgb(torch.cat([luma, chroma], 1)).clamp(0, 1)[0].movedim(0, -1)
        place[:] = (shown * 255 + 0.5).byte().numpy()
    return out
