"""The stylizer on real engines: what it feeds back, when it forgets, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import graphs
import packs
import streamfx
from streamfx import Stylizer
from streamfx.engines.contract import GraphSpec
from streamfx.errors import EngineError, InputError, StreamFXError
from streamfx.frames import Color, Frame
from streamfx.styles import Pack

RATE = Fraction(1, 25)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return packs.tiny_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def stylizer(pack: Pack) -> Iterator[Stylizer]:
    with Stylizer("great-wave", pack=pack, precision="fp32", threads=1) as stylizer:
        yield stylizer


def frame_at(index: int, height: int = 48, width: int = 64, seed: int = 0) -> Frame:
    """Frame `index` of a still scene at 25 frames a second."""
    rng = np.random.default_rng(seed)
    luma = cv2.resize(rng.uniform(30, 150, (height // 6, width // 6)), (width, height))
    chroma = np.full((2, height // 2, width // 2), 100, np.uint8)
    color = Color(matrix=6, range=2)
    return Frame(luma.astype(np.uint8), chroma[0], chroma[1], index, RATE, 1, color)


def first(frame: Frame) -> np.ndarray:
    """Luma of the frame restyled as great-wave without a past: code 1 for y, by the graph."""
    return frame.y + int(graphs.STYLE_GAIN)


def is_fresh(frame: Frame, restyled: Frame) -> bool:
    """With a past, the state adds to every pixel of these scenes; without, it adds nothing."""
    more = restyled.y.astype(int) - first(frame)
    assert (more == 0).all() or (more > 0).all()
    return bool((more == 0).all())


def test_frames_are_restyled_and_keep_their_time_and_colour(stylizer: Stylizer) -> None:
    frame = frame_at(7)
    before = frame.y.copy()
    restyled = stylizer(frame)
    np.testing.assert_array_equal(restyled.y, first(frame))
    np.testing.assert_array_equal(restyled.u, frame.u)
    np.testing.assert_array_equal(frame.y, before)
    assert not np.shares_memory(restyled.u, frame.u)
    assert restyled.y.flags.c_contiguous
    same = ("pts", "time_base", "duration", "color")
    assert all(getattr(restyled, name) == getattr(frame, name) for name in same)


def test_the_state_is_fed_back(stylizer: Stylizer) -> None:
    frames = [frame_at(index) for index in range(4)]
    outputs = [stylizer(frame) for frame in frames]
    more = [float(np.mean(out.y.astype(int) - first(frames[0]))) for out in outputs]
    mean = float(frames[0].y.mean()) / 255
    for index, got in enumerate(more):
        state = mean * (1 - 0.5**index)
        assert got == pytest.approx(graphs.STATE_GAIN * state, abs=1)
    # The frames that came out earlier are the caller's: later ones do not write into them.
    np.testing.assert_array_equal(outputs[0].y, first(frames[0]))


def test_when_it_starts_afresh(stylizer: Stylizer) -> None:
    other = frame_at(2, seed=5)
    steps = [
        (frame_at(0), True),
        (frame_at(1), False),
        (other, True),  # a scene cut
        (replace(other, pts=3), False),
        (replace(other, pts=15), False),  # 0.48 s
        (replace(other, pts=28), True),  # 0.52 s
        (replace(other, pts=28), False),
        (replace(other, pts=27), True),  # back
        (frame_at(28, 64, 64), True),  # another size
        (frame_at(29, 64, 64), False),
        (frame_at(30), True),  # the size before
        (frame_at(31), False),
    ]
    for frame, fresh in steps:
        assert is_fresh(frame, stylizer(frame)) is fresh, frame.pts
    stylizer.reset()
    assert is_fresh(frame_at(32), stylizer(frame_at(32)))


def test_strength_0_is_the_input_and_forgets(stylizer: Stylizer) -> None:
    stylizer(frame_at(0))
    stylizer.strength = 0
    frame = frame_at(1)
    out = stylizer(frame)
    assert (out.y is frame.y, out.u is frame.u, out.v is frame.v) == (True, True, True)
    assert out.pts == 1
    stylizer.strength = 1
    assert is_fresh(frame_at(2), stylizer(frame_at(2)))


def test_strength_0_needs_no_engine(pack: Pack) -> None:
    stylizer = Stylizer("great-wave", strength=0, pack=pack, backend="none")
    frame = frame_at(0)
    np.testing.assert_array_equal(stylizer(frame).y, frame.y)
    stylizer.strength = 0.5
    with pytest.raises(EngineError, match="no back end 'none'"):
        stylizer(frame)


def test_strength_scales(stylizer: Stylizer) -> None:
    stylizer.strength = 0.25
    assert stylizer.strength == 0.25
    frame = frame_at(0)
    np.testing.assert_array_equal(stylizer(frame).y, frame.y + 10)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="from 0 to 1"):
            stylizer.strength = wrong
    assert stylizer.strength == 0.25


def test_style_can_be_set_and_keeps_the_state(stylizer: Stylizer) -> None:
    stylizer(frame_at(0))
    stylizer.style = "great-wave:3+tiny/starry-night:1"
    assert stylizer.style == "great-wave:0.75+tiny/starry-night:0.25"
    frame = frame_at(1)
    out = stylizer(frame)
    assert (out.u == frame.u + 10).all()
    assert (out.y > frame.y + 30).all()
    with pytest.raises(InputError, match="did you mean starry-night"):
        stylizer.style = "stary-night"
    assert stylizer.style == "great-wave:0.75+tiny/starry-night:0.25"


def test_bad_frames(stylizer: Stylizer) -> None:
    good = frame_at(0)
    for frame, message in (
        (frame_at(0, 12, 64), "at least 16 pixels, not 64x12"),
        (replace(good, y=good.y[:47]), "even sides of at least 16 pixels, not 64x47"),
        (replace(good, u=good.u[:-1]), "chroma has half the sides"),
        (replace(good, v=good.v.astype(np.float32)), "uint8"),
    ):
        with pytest.raises(InputError, match=message):
            stylizer(frame)


def test_planes_with_strides_are_taken(stylizer: Stylizer) -> None:
    good = frame_at(0)
    wide = np.zeros((48, 100), np.uint8)
    wide[:, :64] = good.y
    np.testing.assert_array_equal(stylizer(replace(good, y=wide[:, :64])).y, first(good))


def test_many_sizes_keep_few_engines(stylizer: Stylizer) -> None:
    for _ in range(2):
        for height in range(16, 28, 2):
            frame = frame_at(0, height, 32)
            np.testing.assert_array_equal(stylizer(frame).y, first(frame))
    assert len(stylizer._engines) == 3
    info = stylizer.prepare(16, 16)
    assert (info.precision, info.threads) == ("fp32", 1)


def test_a_code_of_its_own(stylizer: Stylizer) -> None:
    stylizer(frame_at(0))
    np.testing.assert_array_equal(stylizer.code, [1, 0, 0, 0])
    stylizer.code = np.array([0.5, 0.25, 0, 0], np.float32)
    out = stylizer(frame_at(1))
    by_state = out.y.astype(float) - frame_at(1).y - 0.5 * graphs.STYLE_GAIN
    assert (by_state > 0).all(), "the state was lost"
    np.testing.assert_array_equal(out.u, frame_at(1).u + int(0.25 * graphs.STYLE_GAIN))
    assert stylizer.style == "great-wave"
    stylizer.code[0] = 9  # a copy: the stylizer's own stays
    for bad in (np.zeros(3, np.float32), np.zeros((1, 4), np.float32), np.full(4, np.nan)):
        with pytest.raises(InputError, match="4 finite numbers"):
            stylizer.code = bad
    np.testing.assert_array_equal(stylizer.code, np.array([0.5, 0.25, 0, 0], np.float32))
    stylizer.style = "starry-night"
    np.testing.assert_array_equal(stylizer.code, [0, 1, 0, 0])


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (17, 16)])
def test_pictures_of_any_size(stylizer: Stylizer, size: tuple[int, int]) -> None:
    grey = np.full((*size, 3), 100, np.uint8)
    stylizer(frame_at(0))
    out = stylizer.picture(grey)
    assert out.shape == grey.shape
    assert out.dtype == np.uint8
    brighter = 100 + graphs.STYLE_GAIN * 255 / 219
    assert np.abs(out.astype(float) - brighter).max() <= 1
    np.testing.assert_array_equal(stylizer.picture(grey), out)
    assert not is_fresh(frame_at(1), stylizer(frame_at(1))), "a picture touched the stream"
    stylizer.strength = 0
    np.testing.assert_array_equal(stylizer.picture(grey), grey)


def test_bad_pictures(stylizer: Stylizer) -> None:
    with pytest.raises(InputError, match="at least 16 pixels"):
        stylizer.picture(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(InputError, match=r"uint8 \[H, W, 3\], not float64"):
        stylizer.picture(np.zeros((20, 20, 3)))  # type: ignore[arg-type]


def test_motion_reaches_the_graph(tmp_path: Path) -> None:
    """The test graph adds the mean place to its state, which then shows in luma."""
    spec = GraphSpec(style_size=4, state_channels=2, margin=8, stride=16, motion=True)
    pack = packs.tiny_pack(tmp_path, spec)
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (96, 200)), (0, 0), 4)
    world = np.clip(90 + noise * 200, 30, 150).astype(np.uint8)
    chroma = np.full((48, 64), 128, np.uint8)
    means = []
    for step in (0, 4):  # pixels that the view moves to the right from frame to frame
        with Stylizer("great-wave", pack=pack, precision="fp32") as stylizer:
            for index in range(3):
                luma = np.ascontiguousarray(world[:, step * index : step * index + 128])
                out = stylizer(Frame(luma, chroma, chroma, index, RATE))
        means.append(float(np.mean(out.y.astype(float) - luma)))
    # The mean of x and y, half of the horizontal one, is added to the state once before the last
    # frame reads it; the frame's 128 pixels are 2 wide there.
    assert means[1] - means[0] == pytest.approx(graphs.STATE_GAIN * step * 2 / 128 / 2, rel=0.25)


def test_a_frame_is_given_what_the_last_one_left(tmp_path: Path) -> None:
    """The test graph sums up the lumas, and the shares of the past, since the last cut."""
    spec = GraphSpec(style_size=4, state_channels=2, margin=8, stride=16, motion=True)
    pack = packs.tiny_pack(tmp_path, spec)
    with Stylizer("great-wave", pack=pack, strength=0.5, precision="fp32") as stylizer:
        for index in range(4):
            stylizer(frame_at(index))
        assert stylizer._past is not None
        left = {name: array.copy() for name, array in stylizer._past.items()}
        np.testing.assert_array_equal(left["past_y"][0, 0], 4.0 * frame_at(0).y)
        # Nothing moves: the past is trusted more from frame to frame, first an eighth of its share,
        # and where all is half restyled, half as much.
        trusted = left["past_c"] / (1 / 8 + 2 / 8 + 3 / 8)
        assert np.ptp(trusted) == 0 and 0.3 < trusted.max() < 0.5
        stylizer.reset()
        stylizer(frame_at(0))
        np.testing.assert_array_equal(stylizer._past["past_y"][0, 0], frame_at(0).y)
        assert not stylizer._past["past_c"].any()


def test_a_closed_stylizer_refuses(pack: Pack) -> None:
    with Stylizer("great-wave", pack=pack) as stylizer:
        stylizer(frame_at(0))
    stylizer.close()
    with pytest.raises(StreamFXError, match="closed"):
        stylizer(frame_at(1))


def test_the_pack_is_found(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFX_PACKS", str(pack.path.parent))
    assert Stylizer("great-wave", pack=pack.path).pack == pack
    assert Stylizer("great-wave", pack="tiny").pack == pack
    assert Stylizer("tiny/great-wave").pack == pack
    with pytest.raises(InputError, match="'other' is not in use"):
        Stylizer("other/great-wave", pack=pack)
    with pytest.raises(InputError, match="no style pack 'other'"):
        Stylizer("other/great-wave")


def test_importing_the_package_is_light() -> None:
    check = (
        "import sys, streamfx, streamfx.errors, streamfx.engines; "
        "heavy = {'cv2', 'onnx', 'openvino', 'onnxruntime', 'torch', 'pydantic'}; "
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys(); "
        "from streamfx import Stylizer; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
    assert streamfx.__version__
    with pytest.raises(AttributeError, match="Painter"):
        streamfx.Painter  # noqa: B018
