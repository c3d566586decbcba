"""What a camera's automatic exposure and white balance do, from the whole frame at once.

The networks learn on pictures of like brightness, contrast and tint, and a dull clip comes out as
rich as the paintings are. The same function prepares the contents of a run and stands in the
exported graph. After Reinhard et al., "Color Transfer between Images" (2001), within limits: a
frame that fades to black must not be lit up again.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.training.color import rgb_to_ycc, ycc_to_rgb

# Luma, Cb, Cr of 255 as planes hold them: what the photographs of the default pack have.
_MEAN = (0.47, 0.49, 0.50)
_DEVIATION = (0.19, 0.045, 0.045)
_FARTHEST = (0.12, 0.04, 0.04)  # that a mean is moved
_LEAST_GAIN, _MOST_GAIN = 0.8, (1.8, 1.35, 1.35)
_FAINT = 0.03  # deviation of luma below which there is nothing to expose


def expose(ycc: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset [N,3,1,1] that bring frames near the usual exposure and white balance.

    Args:
        ycc: luma, Cb and Cr of whole frames [N,3,h,w], 0..1, limited range.
    """
    mean = ycc.mean((2, 3), keepdim=True)
    deviation = ((ycc - mean).square().mean((2, 3), keepdim=True) + 1e-6).sqrt()
    power = deviation[:, :1].square()
    seen = power / (power + _FAINT**2)
    wanted, most, usual, farthest = (
        torch.tensor(values, device=ycc.device)[None, :, None, None]
        for values in (_DEVIATION, _MOST_GAIN, _MEAN, _FARTHEST)
    )
    gain = torch.minimum(wanted / deviation, most)
    gain = 1 + seen * (gain.clamp(min=_LEAST_GAIN) - 1)
    moved = torch.minimum(torch.maximum(usual - mean, -farthest), farthest)
    return gain, mean + seen * moved - gain * mean


def exposed(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Whole pictures [P,H,W,3] as the generator is to see them."""
    out = np.empty_like(pictures)
    for place, picture in zip(out, pictures, strict=True):
        rgb = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
        ycc = rgb_to_ycc(rgb)
        gain, offset = expose(ycc)
        shown = ycc_to_rgb(ycc * gain + offset).clamp(0, 1)[0].movedim(0, -1)
        place[:] = (shown * 255 + 0.5).byte().numpy()
    return out
