"""On an engine that keeps tensors on its device, a stylizer's past stays there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphs
import packs
from devices import Cuda, engine
from streamfx import engines
from streamfx.engines.tensorrt_engine import TensorRTEngine
from streamfx.frames import Frame
from streamfx.stylizer import Stylizer

SIZE = (48, 64)
SPEC = replace(graphs.SPEC, motion=True)


def moving(count: int) -> list[Frame]:
    height, width = SIZE
    ramp = np.tile(np.linspace(20, 200, width, dtype=np.uint8), (height, 1))
    chroma = np.full((height // 2, width // 2), 120, np.uint8)
    return [
        Frame(np.roll(ramp, step, axis=1), chroma, chroma.copy(), step, Fraction(1, 30))
        for step in range(count)
    ]


def test_the_past_stays_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    pack = packs.tiny_pack(tmp_path, SPEC)

    def load(graph: bytes, size: tuple[int, int], **_: Any) -> TensorRTEngine:
        return engine(cuda, graph, size)

    frames = moving(8)
    with Stylizer("great-wave", pack=pack, backend="onnxruntime", threads=1) as alone:
        wanted = [alone(frame) for frame in frames]
    monkeypatch.setattr(engines, "load", load)
    picture = SIZE[0] * SIZE[1] * 3 // 2
    with Stylizer("great-wave", pack=pack) as stylizer:
        for index, (frame, want) in enumerate(zip(frames, wanted, strict=True)):
            cuda.moved = dict.fromkeys(cuda.moved, 0)
            restyled = stylizer(frame)
            np.testing.assert_array_equal(restyled.y, want.y)
            np.testing.assert_array_equal(restyled.u, want.u)
            assert cuda.moved[2] == picture  # the picture, and nothing of the past, comes down
            if index > 1:
                quarter = SIZE[0] * SIZE[1] // 4
                given = picture + 12 * quarter + 4 * SPEC.style_size + 4
                assert cuda.moved[1] == given
    assert not cuda.own_streams
