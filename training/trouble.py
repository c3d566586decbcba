"""What cameras and encoders do to frames before they come to be restyled."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.training.recipes import DataConfig

QUALITY = 20, 85  # of compressed frames


def trouble(random: np.random.Generator, clips: Tensor, data: DataConfig, noise: float) -> Tensor:
    """Clips as they arrive: soft, dull, dark, compressed or noisy, or some of it.

    Args:
        clips: RGB [B,T,3,s,s], 0..1; they are left as they are.
        noise: largest deviation of the sensor noise, of 255.
    """
    out = clips.clone()
    for clip in out:
        if random.random() < data.soft_share:
            side = int(clip.shape[-1] * random.uniform(0.3, 0.9))
            small = F.interpolate(clip, size=(side, side), mode="bilinear", antialias=True)
            clip.copy_(F.interpolate(small, size=clip.shape[-2:], mode="bicubic"))
        clip.copy_(torch.lerp(clip.mean(), clip, random.uniform(data.contrast, 1)))
        gain = random.uniform(0.9, 1.1)
        for frame in clip:
            frame.mul_(gain * random.normal(1, 0.01))
        if random.random() < 0.5:
            quality = int(random.integers(*QUALITY))
            for frame in clip:
                frame.copy_(compressed(frame, quality))
        if random.random() < 0.75:
            deviation = random.uniform(0, noise) / 255
            grain = random.standard_normal(tuple(clip.shape), np.float32) * deviation
            clip.add_(torch.from_numpy(grain))
    return out.clamp_(0, 1)


def compressed(frame: Tensor, quality: int) -> Tensor:
    """An RGB frame [3,h,w], 0..1, after JPEG of a quality of 1 to 100."""
    pixels = (frame.clamp(0, 1) * 255).byte().movedim(0, -1).numpy()
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return torch.from_numpy(np.asarray(decoded, np.uint8)).movedim(-1, 0).float() / 255
