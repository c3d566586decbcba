"""Stills: read from files that may be anything, and turned into planes and back."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from streamfx.color import even, frame_from_rgb, frame_to_rgb
from streamfx.errors import InputError
from streamfx.pictures import MOST_BYTES, decode_picture, read_picture, square


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.uniform(0, 255, (4, 5, 3)), (width, height))
    return np.asarray(picture.astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_formats(tmp_path: Path, kind: str) -> None:
    picture = smooth(30, 41)
    path = tmp_path / "picture"
    path.write_bytes(encoded(Image.fromarray(picture), kind))
    read = read_picture(path)
    assert read.shape == (30, 41, 3)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - picture).mean() < (6 if kind in ("WEBP", "JPEG") else 1e-9)


def test_orientation_transparency_and_depth() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    turned = decode_picture(encoded(Image.fromarray(smooth(30, 40)), "JPEG", exif=exif), "a")
    assert turned.shape == (40, 30, 3)
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (decode_picture(encoded(clear, "PNG"), "a") == 255).all()
    grey = decode_picture(encoded(Image.new("L", (4, 4), 77), "PNG"), "a")
    assert grey.shape == (4, 4, 3)
    assert (grey == 77).all()


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_pictures_that_are_refused(tmp_path: Path) -> None:
    whole = encoded(Image.fromarray(smooth(30, 40)), "PNG")
    for data, message in (
        (b"", "'a' is empty"),
        (b"hello", "'a' is not a JPEG, PNG"),
        (whole[: len(whole) // 2], "'a' is damaged"),
        (png_of(9_000, 9_000), "more than 64 megapixels"),
        (png_of(60_000, 60_000), "more than 64 megapixels"),
        (encoded(Image.new("RGB", (4, 4)), "GIF"), "'a' is not a JPEG, PNG"),
        (bytes(MOST_BYTES + 1), "larger than 64 MiB"),
    ):
        with pytest.raises(InputError, match=message):
            decode_picture(data, "a")
    with pytest.raises(InputError, match="No such file"):
        read_picture(tmp_path / "no.png")
    with pytest.raises(InputError, match="Is a directory"):
        read_picture(tmp_path)


WHOLE = [encoded(Image.fromarray(smooth(16, 24)), kind) for kind in ("PNG", "JPEG", "TIFF")]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_never_more_than_an_input_error(data: st.DataObject) -> None:
    picture = bytearray(data.draw(st.sampled_from(WHOLE)))
    for place in data.draw(st.lists(st.integers(0, len(picture) - 1), max_size=5)):
        picture[place] = data.draw(st.integers(0, 255))
    try:
        read = decode_picture(bytes(picture[: data.draw(st.integers(0, len(picture)))]), "a")
    except InputError:
        return
    assert read.ndim == 3


def test_square() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 200
    assert (square(wide, 64) == 200).all()
    assert square(wide[:, :2], 256).shape == (256, 256, 3)


def test_planes_are_what_ffmpeg_makes() -> None:
    rgb = smooth(64, 96)
    frame = frame_from_rgb(rgb)
    assert (frame.color.matrix, frame.color.range) == (1, 1)
    other = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
    )
    for plane, theirs in zip((frame.y, frame.u, frame.v), other.planes, strict=True):
        rows = np.frombuffer(bytes(theirs), np.uint8).reshape(-1, theirs.line_size)
        wanted = rows[: plane.shape[0], : plane.shape[1]].astype(int)
        assert plane.flags.c_contiguous
        assert np.abs(plane - wanted).mean() < 1.5


def test_known_colours() -> None:
    for rgb, yuv in (
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 0, 255), (32, 240, 118)),
    ):
        frame = frame_from_rgb(np.full((2, 2, 3), rgb, np.uint8))
        assert (frame.y[0, 0], frame.u[0, 0], frame.v[0, 0]) == yuv


def test_there_and_back() -> None:
    rgb = smooth(64, 96)
    error = np.abs(frame_to_rgb(frame_from_rgb(rgb)).astype(int) - rgb)
    assert (error.mean() < 1, error.max() < 16) == (True, True)
    grey = np.arange(256, dtype=np.uint8).repeat(2)[None, :, None].repeat(2, 0).repeat(3, 2)
    assert np.abs(frame_to_rgb(frame_from_rgb(grey)).astype(int) - grey).max() <= 1


def test_odd_sides() -> None:
    assert even(smooth(5, 7)).shape == (6, 8, 3)
    np.testing.assert_array_equal(even(smooth(5, 7))[5], even(smooth(5, 7))[4])
    with pytest.raises(ValueError, match="even sides, not 7x5"):
        frame_from_rgb(smooth(5, 7))
    with pytest.raises(ValueError, match="uint8"):
        frame_from_rgb(np.zeros((4, 4), np.uint8))
