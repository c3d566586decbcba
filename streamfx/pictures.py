"""Reading a still picture from a file that nobody has checked yet."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from streamfx.errors import InputError

Picture = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MOST_BYTES = 64 << 20
MOST_PIXELS = 64_000_000


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """The picture in the file `path` as uint8 RGB [H, W, 3], upright, transparency on white.

    Raises:
        InputError: there is no such file, it is larger than 64 MiB or 64 megapixels, or it
            is not a whole JPEG, PNG, WebP, BMP or TIFF picture.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the picture {os.fspath(path)!r}: {reason}") from error
    return decode_picture(data, os.fspath(path))


class TooManyPixels(InputError):
    """The picture is fine and too large."""


def decode_picture(
    data: bytes,
    name: str,
    *,
    formats: tuple[str, ...] = FORMATS,
    most_pixels: int = MOST_PIXELS,
) -> Picture:
    """As `read_picture`, for the bytes of a file that messages call `name`.

    Raises:
        TooManyPixels: more than `most_pixels`, which its header says before it is decoded.
        InputError: as `read_picture`.
    """
    if not data:
        raise InputError(f"the picture {name!r} is empty")
    if len(data) > MOST_BYTES:
        raise InputError(f"the picture {name!r} is larger than {MOST_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage; what matters raises
            return _decode(data, formats, most_pixels)
    except (_TooLarge, Image.DecompressionBombError) as error:
        raise TooManyPixels(
            f"the picture {name!r} has more than {most_pixels / 1_000_000:g} megapixels"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name!r} is not a {', '.join(formats)} picture") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise InputError(f"the picture {name!r} is damaged: {error}") from error


def square(picture: Picture, side: int) -> Picture:
    """The largest centred square of a [H, W, 3] picture, resized to [side, side, 3]."""
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    crop = picture[top : top + edge, left : left + edge]
    method = cv2.INTER_AREA if edge > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side, side), interpolation=method), np.uint8)


def scale_to_area(picture: Picture, area: float) -> Picture:
    """`picture`, uint8 RGB [H,W,3], scaled with its proportions to about `area` pixels."""
    factor = (area / (picture.shape[0] * picture.shape[1])) ** 0.5
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=method)
    return np.asarray(scaled, np.uint8)


class _TooLarge(Exception):
    """More pixels than are taken."""


def _decode(data: bytes, formats: tuple[str, ...], most_pixels: int) -> Picture:
    image = Image.open(io.BytesIO(data), formats=formats)
    if image.width * image.height > most_pixels:
        raise _TooLarge
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.new("RGBA", layer.size, "white")
        upright.alpha_composite(layer)
    if upright.mode.startswith("I"):  # Pillow would clip 16 bits, not scale them
        upright = Image.fromarray(np.uint8(np.clip(np.rint(np.array(upright) / 257), 0, 255)))
    return np.array(upright.convert("RGB"), np.uint8)
