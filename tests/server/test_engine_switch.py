"""A stream goes over to a better engine while it is watched: no frame lost, no jump to be seen."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

import graphs
import packs
from better import Better
from rtc import Pictures, Server, publish, serving, until, watch
from streamfx import engines
from streamfx.engines.openvino import OpenVINOBackend
from streamfx.server.hub import HUB

SIZE = (320, 180)
SPEC = replace(graphs.SPEC, motion=True)
# A frame's number, as black and white squares along its top: in Gray's code, of which one square
# changes at a time, for more of them would be a scene cut.
BITS, SIDE = 5, 40
BEFORE, AFTER = 8, 16  # frames that the viewer sees before and after the switch
# Grey levels by which a picture that stands still may move: VP8 twice over takes half of one.
STILL = 1.5
PATIENCE = 2.0  # seconds for which a frame is given up as lost on the way


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> Iterator[Better]:
    made = Better()
    monkeypatch.setattr(engines, "_failed", set())
    monkeypatch.setattr(engines, "backends", lambda: (made, OpenVINOBackend()))
    yield made
    made.go.set()


class Numbered(Pictures):
    """Frames that say their number, each sent when the stream is done with the one before."""

    def __init__(self, server: Server) -> None:
        super().__init__(SIZE)
        self._server = server
        self._arrived = 0
        self._sent_at = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await self._caught_up()
        await asyncio.sleep(self._sent_at + 1 / self._fps - time.monotonic())
        self._sent_at = time.monotonic()
        array = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        # A slope that stands still: whatever moves in it is not the camera's doing.
        array[: SIZE[1]] = np.linspace(50, 120, SIZE[0]).astype(np.uint8)
        for bit in range(BITS):
            lit = gray(self.sent) >> bit & 1
            array[:SIDE, bit * SIDE : (bit + 1) * SIDE] = 200 if lit else 16
        frame = av.VideoFrame.from_ndarray(array, format="yuv420p")
        frame.pts = round((self._sent_at - self._began) * 90_000)
        frame.time_base = Fraction(1, 90_000)
        self.sent += 1
        return frame

    async def _caught_up(self) -> None:
        """Wait for the frame before, so that a slow machine drops nothing: what is looked for is
        the switch alone. Frames that nobody takes yet are not waited for."""
        stream = self._server.app[HUB].get("live")
        end = self._sent_at + PATIENCE
        while stream is not None and stream.stats().frames_in and time.monotonic() < end:
            stats = stream.stats()
            done = stats.frames_out + sum(stats.dropped.values())
            if stats.frames_in > self._arrived and done >= stats.frames_in:
                self._arrived = stats.frames_in
                return
            await asyncio.sleep(0.005)


def gray(number: int) -> int:
    number %= 2**BITS
    return number ^ number >> 1


def number_of(picture: av.VideoFrame) -> int:
    luma = picture.to_ndarray()[: SIZE[1]]
    inner = [luma[8 : SIDE - 8, bit * SIDE + 8 : (bit + 1) * SIDE - 8] for bit in range(BITS)]
    shown = sum(int(square.mean() > 150) << bit for bit, square in enumerate(inner))
    return [gray(number) for number in range(2**BITS)].index(shown)


def slope_of(picture: av.VideoFrame) -> np.ndarray:
    """The mean levels of 16 columns of the slope."""
    below = picture.to_ndarray()[SIDE * 2 : SIZE[1]]
    return below.reshape(below.shape[0], 16, -1).mean(axis=(0, 2))


def jumps(pictures: list[av.VideoFrame]) -> list[float]:
    slopes = [slope_of(picture) for picture in pictures]
    return [float(np.abs(after - before).max()) for before, after in pairwise(slopes)]


def settled(pictures: list[av.VideoFrame]) -> bool:
    """Whether what the first frames left has come to rest."""
    return len(pictures) > BEFORE and max(jumps(pictures[-BEFORE:])) < STILL / 2


def test_the_switch_is_not_seen(
    better: Better, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> list[av.VideoFrame]:
        packs.tiny_pack(tmp_path, SPEC)
        live = {"working_scales": (1.0,), "precision": "fp32", "fps": 120}
        async with serving(tmp_path, live=live) as server:
            camera = await publish(server, video=Numbered(server))
            viewer = await watch(server, codecs=("vp8",), sound=False)
            pictures = viewer.pictures
            await until(lambda: settled(pictures), "pictures of the first engine")
            begun = len(pictures) - BEFORE
            assert better.builds == 1
            assert "switched to" not in caplog.text
            stream = server.app[HUB].get("live")
            assert stream is not None
            dropped = stream.stats().dropped  # while it began
            better.go.set()
            await until(lambda: "switched to better fp32" in caplog.text, "the switch")
            switched = len(pictures)
            await until(lambda: len(pictures) >= switched + AFTER, "pictures of the better engine")
            assert stream.stats().dropped == dropped
            for client in (viewer, camera):
                await client.connection.close()
            return pictures[begun:]

    with caplog.at_level(logging.INFO):
        pictures = asyncio.run(test())
    numbers = [number_of(picture) for picture in pictures]
    first = numbers[0]
    assert numbers == [(first + index) % 2**BITS for index in range(len(numbers))]
    assert {(picture.width, picture.height) for picture in pictures} == {SIZE}
    assert max(jumps(pictures)) < STILL
    # The style is on all the while.
    assert min(slope_of(picture).mean() for picture in pictures) > 85 + graphs.STYLE_GAIN / 2
