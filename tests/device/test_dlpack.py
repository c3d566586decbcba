"""Memory lent and borrowed by DLPack, with numpy and PyAV as the other side."""

from __future__ import annotations

import gc

import av
import numpy as np
import pytest

from streamfx.device.dlpack import CPU, Borrowed, Lent
from streamfx.errors import StreamFXError

HEIGHT, WIDTH, PITCH = 6, 8, 11


class Lender:
    """A plane of pitched memory; it counts who holds it."""

    def __init__(self) -> None:
        self.memory = np.arange(HEIGHT * PITCH, dtype=np.uint8)
        self.held = 0

    def hold(self) -> object:
        self.held += 1

        def let_go() -> None:
            self.held -= 1

        return let_go

    def lend(self) -> Lent:
        address = self.memory.ctypes.data
        return Lent(address, (HEIGHT, WIDTH), (PITCH, 1), (CPU, 0), self.hold)  # type: ignore[arg-type]

    @property
    def shown(self) -> np.ndarray:
        return self.memory.reshape(HEIGHT, PITCH)[:, :WIDTH]


def test_numpy_sees_what_is_lent_and_lets_go() -> None:
    lender = Lender()
    lent = lender.lend()
    assert lent.__dlpack_device__() == (1, 0)
    capsule = lent.__dlpack__()
    assert lender.held == 1

    class Once:
        def __dlpack__(self, **_: object) -> object:
            return capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    array = np.from_dlpack(Once())
    assert array.strides == (PITCH, 1)
    np.testing.assert_array_equal(array, lender.shown)
    lender.memory[:] = 7
    assert (array == 7).all()
    part = array[2:]
    del array
    assert lender.held == 1  # the part keeps it
    del part
    assert lender.held == 0


def test_a_capsule_that_nobody_takes_is_given_back() -> None:
    lender = Lender()
    capsules = [lender.lend().__dlpack__() for _ in range(3)]
    assert lender.held == 3
    del capsules
    assert lender.held == 0


def test_borrowing_what_was_lent() -> None:
    lender = Lender()
    first, second = Borrowed(lender.lend()), Borrowed(lender.lend())
    assert (first.address, first.shape, first.strides, first.device) == (
        lender.memory.ctypes.data,
        (HEIGHT, WIDTH),
        (PITCH, 1),
        (1, 0),
    )
    assert lender.held == 2
    first.release()
    first.release()
    assert lender.held == 1
    del second
    gc.collect()
    assert lender.held == 0


def test_borrowing_of_numpy_and_of_a_decoded_picture() -> None:
    array = np.zeros((4, 6), np.uint8)
    borrowed = Borrowed(array)
    assert (borrowed.address, borrowed.strides) == (array.ctypes.data, (6, 1))
    picture = av.VideoFrame(66, 36, "nv12")
    luma, chroma = (Borrowed(plane) for plane in picture.planes)
    assert (luma.shape, chroma.shape) == ((36, 66), (18, 33, 2))
    assert luma.strides == (picture.planes[0].line_size, 1)
    assert chroma.strides == (picture.planes[1].line_size, 2, 1)
    assert luma.address == picture.planes[0].buffer_ptr


def test_what_cannot_be_borrowed() -> None:
    lender = Lender()

    class Used:
        capsule = lender.lend().__dlpack__()

        def __dlpack__(self) -> object:
            return self.capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    taken = Borrowed(Used())
    with pytest.raises(StreamFXError, match="used already"):
        Borrowed(Used())
    taken.release()
    assert lender.held == 0
    with pytest.raises(StreamFXError, match="has 32 bits"):
        Borrowed(np.zeros(3, np.float32))
    with pytest.raises(StreamFXError, match="lends no memory"):
        Borrowed(object())
