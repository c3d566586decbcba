"""Surfaces and who holds them: none is used again while somebody may read it."""

from __future__ import annotations

import gc
import threading

import av
import numpy as np
import pytest

from devices import DEVICE, Cuda, bytes_at
from streamfx.device.frames import DeviceFrame, SurfacePool
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.errors import EngineError


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


def pool_of(cuda: Cuda, size: tuple[int, int] = (36, 66), **settings: float) -> SurfacePool:
    return SurfacePool(Runtime(cuda, DEVICE), size, **settings)  # type: ignore[arg-type]


def test_chroma_follows_luma_with_the_same_pitch(cuda: Cuda) -> None:
    surface, _hold = pool_of(cuda).take()
    assert surface.pitch == 256
    assert surface.uv.address == surface.y.address + 256 * 36
    assert (surface.y.shape, surface.uv.shape) == ((1, 1, 36, 66), (1, 18, 33, 2))
    assert (surface.y.rows, surface.uv.rows) == (36, 18)
    cuda.at(surface.y.address, 256 * 36 * 3 // 2)  # all of it is there


def test_a_surface_is_used_again_when_its_frame_is_closed(cuda: Cuda) -> None:
    pool = pool_of(cuda)
    first, hold = pool.take()
    second, other = pool.take()
    assert first is not second
    hold.release()
    hold.release()
    assert pool.take()[0] is first
    assert pool.made == 2
    other.release()


def test_forgetting_a_frame_is_closing_it(cuda: Cuda) -> None:
    pool = pool_of(cuda)
    surface, hold = pool.take()
    frame = DeviceFrame(surface.y, surface.uv, hold, surface)
    del hold
    other = pool.take()
    assert other[0] is not surface
    del frame
    assert pool.take()[0] is surface


def test_a_picture_that_reads_a_surface_keeps_it(cuda: Cuda) -> None:
    """PyAV's frame is what an encoder holds; the closed frame is no reason to write there."""
    pool = pool_of(cuda)
    surface, hold = pool.take()
    picture = av.VideoFrame.from_dlpack(surface.lend(), format="nv12")
    assert [plane.line_size for plane in picture.planes] == [256, 256]
    assert picture.planes[0].buffer_ptr == surface.y.address
    hold.release()
    others = [pool.take() for _ in range(3)]
    assert surface not in [each for each, _ in others]
    del picture
    assert pool.take()[0] is surface


def test_the_two_planes_are_let_go_one_by_one(cuda: Cuda) -> None:
    pool = pool_of(cuda)
    surface, hold = pool.take()
    luma, chroma = (np.from_dlpack(each) for each in surface.lend())
    hold.release()
    del luma
    other = pool.take()
    assert other[0] is not surface
    assert chroma.shape == (18, 33, 2)
    del chroma
    assert pool.take()[0] is surface


def test_what_is_read_late_is_what_was_written(cuda: Cuda) -> None:
    """Ten frames through four surfaces and a reader that lags by two."""
    pool = pool_of(cuda, limit=4)
    held: list[tuple[int, av.VideoFrame]] = []
    for level in range(10):
        surface, hold = pool.take()
        size = surface.pitch * 36 * 3 // 2
        cuda.at(surface.y.address, size)[:] = level
        held.append((level, av.VideoFrame.from_dlpack(surface.lend(), format="nv12")))
        hold.release()
        if len(held) == 3:
            wanted, picture = held.pop(0)
            assert (bytes_at(picture.planes[0].buffer_ptr, size) == wanted).all()
            del picture
    assert pool.made <= 4
    assert pool.waits == 0


def test_where_all_are_held_the_next_waits_for_one(cuda: Cuda) -> None:
    pool = pool_of(cuda, limit=1, patience=60.0)
    surface, hold = pool.take()
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(pool.take()))
    thread.start()
    while not pool.waits:
        pass
    hold.release()
    thread.join(60)
    assert taken[0][0] is surface  # type: ignore[index]
    assert pool.made == 1


def test_where_all_stay_held_that_is_an_error(cuda: Cuda) -> None:
    pool = pool_of(cuda, limit=2, patience=0.01)
    holds = [pool.take() for _ in range(2)]
    with pytest.raises(EngineError, match=r"held all 2 surfaces for 0\.01 seconds"):
        pool.take()
    assert len(holds) == 2


def test_a_full_gpu_is_an_error_and_no_surface(cuda: Cuda) -> None:
    pool = pool_of(cuda)
    cuda.fails = {"cudaMalloc"}
    with pytest.raises(EngineError, match="cudaMalloc failed: 2"):
        pool.take()
    assert pool.made == 0
    cuda.fails = set()
    pool.take()


def test_memory_goes_with_the_last_reference(cuda: Cuda) -> None:
    pool = pool_of(cuda)
    surface, hold = pool.take()
    picture = av.VideoFrame.from_dlpack(surface.lend(), format="nv12")
    del surface, hold, pool
    gc.collect()
    assert cuda.memory  # the picture still shows it
    del picture
    gc.collect()
    assert not cuda.memory
