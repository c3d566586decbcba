"""Painterly abstraction of a still picture: smoothing that keeps edges, and drawn lines.

All functions take and return float32 pictures [H,W,3] (or [H,W]) in 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
SECTORS = 8
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def luma(picture: Picture) -> Picture:
    """BT.709 luma of an RGB picture: [H,W,3] -> [H,W]."""
    return np.asarray(picture @ LUMA, np.float32)


def kuwahara(picture: Picture, radius: int, sharpness: float = 8.0) -> Picture:
    """Generalised Kuwahara filter: the mean of the smoothest sectors around every pixel.

    Papari, Petkov, Campisi, "Artistic Edge and Corner Enhancing Smoothing" (2007).

    Args:
        picture: [H,W,3].
        radius: pixels; flat patches come out about this large.
        sharpness: how strongly smooth sectors are preferred.
    """
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    angle, distance = np.arctan2(rows, columns), np.hypot(rows, columns)
    disc = np.exp(-0.5 * (distance / (0.5 * radius)) ** 2) * (distance <= radius + 0.5)
    squared = picture * picture
    total = np.zeros_like(picture)
    weights = np.zeros((*picture.shape[:2], 1), np.float32)
    for sector in range(SECTORS):
        turn = np.angle(np.exp(1j * (angle - sector * 2 * np.pi / SECTORS)))
        kernel = np.clip(1 - np.abs(turn) * SECTORS / (2 * np.pi), 0, 1) * disc
        kernel[radius, radius] = 1 / SECTORS
        kernel = (kernel / kernel.sum()).astype(np.float32)
        mean = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT)
        power = cv2.filter2D(squared, -1, kernel, borderType=cv2.BORDER_REFLECT)
        variance = np.clip(power - mean * mean, 0, None).sum(-1, keepdims=True)
        weight = 1 / (1 + 1e-3 * (255.0**2 * variance) ** (sharpness / 4))
        total += weight * mean
        weights += weight
    return np.asarray(total / weights, np.float32)


def lines(gray: Picture, width: float = 1.4, depth: float = 30.0) -> Picture:
    """Drawn lines on white: [H,W] -> [H,W], 1 = paper, 0 = ink.

    Extended difference of Gaussians; Winnemöller, Kyprianidis, Olsen, "XDoG" (2012).

    Args:
        gray: luma.
        width: deviation of the inner Gaussian, pixels.
        depth: slope of the soft threshold.
    """
    inner = cv2.GaussianBlur(gray, (0, 0), width)
    outer = cv2.GaussianBlur(gray, (0, 0), 1.6 * width)
    difference = inner - 0.98 * outer
    ink: Picture = 1 + np.tanh(depth * np.minimum(difference, 0)).astype(np.float32)
    return ink


def activity(gray: Picture, radius: float = 6.0, floor: float = 0.02) -> Picture:
    """How much happens around every pixel, 0 (flat) .. 1: [H,W] -> [H,W]."""
    mean = cv2.GaussianBlur(gray, (0, 0), radius)
    variance = cv2.GaussianBlur(gray * gray, (0, 0), radius) - mean * mean
    deviation = np.sqrt(np.clip(variance, 0, None))
    result: Picture = deviation / (deviation + floor)
    return result


def local_contrast(picture: Picture, radius: float, amount: float) -> Picture:
    """Unsharp mask at a large radius: bolder areas, not sharper pixels."""
    result: Picture = picture + amount * (picture - cv2.GaussianBlur(picture, (0, 0), radius))
    return result
