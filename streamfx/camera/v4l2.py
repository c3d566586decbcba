"""Video4Linux's output devices, as far as writing a picture at a time takes.

FFmpeg can write them too, but PyAV opens them with Python's lock held. Structures and numbers
are those of <linux/videodev2.h>; S_FMT, STREAMON and then writes is the order in which
v4l2loopback gives the device back when it is closed, so that it can be opened again although
it is loaded with exclusive_caps=1.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame

LOOPBACK_DRIVER = "v4l2 loopback"
MODPROBE = "sudo modprobe v4l2loopback video_nr=10 card_label=StreamFX exclusive_caps=1"

CAPTURE, OUTPUT = 0x1, 0x2
_DEVICE_CAPS = 0x80000000
_TYPE_OUTPUT = 2
_FIELD_NONE = 1
_SRGB_LIKE = {1: 3, 5: 1, 6: 1}  # H.273 matrix -> V4L2_COLORSPACE_REC709, SMPTE170M
_FULL, _LIMITED = 1, 2
_UNION = 200  # bytes of the structures' unions


def _fourcc(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


I420, YUYV = _fourcc("YU12"), _fourcc("YUYV")


class _Capability(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class _Pixels(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            *("width", "height", "pixelformat", "field", "bytesperline", "sizeimage"),
            *("colorspace", "priv", "flags", "ycbcr_enc", "quantization", "xfer_func"),
        )
    )


class _FormatUnion(ctypes.Union):
    # The kernel's union holds pointers, which align it.
    _fields_ = (
        ("pix", _Pixels),
        ("raw", ctypes.c_uint8 * _UNION),
        ("pointer", ctypes.c_void_p),
    )


class _Format(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32), ("fmt", _FormatUnion))


class _StreamParm(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("capability", ctypes.c_uint32),
        ("outputmode", ctypes.c_uint32),
        ("numerator", ctypes.c_uint32),
        ("denominator", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * (_UNION - 16)),
    )


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("V") << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
QUERYCAP = _request(_READ, 0, ctypes.sizeof(_Capability))
S_FMT = _request(_BOTH, 5, ctypes.sizeof(_Format))
STREAMON = _request(_WRITE, 18, ctypes.sizeof(ctypes.c_int))
STREAMOFF = _request(_WRITE, 19, ctypes.sizeof(ctypes.c_int))
S_PARM = _request(_BOTH, 22, ctypes.sizeof(_StreamParm))


@dataclass(frozen=True)
class Device:
    """A video device.

    Attributes:
        path: such as /dev/video10.
        driver, label: what it says of itself.
        capabilities: what it can do now: CAPTURE, OUTPUT and others.
    """

    path: Path
    driver: str
    label: str
    capabilities: int

    @property
    def is_loopback(self) -> bool:
        return self.driver == LOOPBACK_DRIVER


def describe(path: Path) -> Device:
    """Ask a device what it is.

    Raises:
        OSError: it cannot be opened, or is no video device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        said = _Capability()
        fcntl.ioctl(descriptor, QUERYCAP, said)
    finally:
        os.close(descriptor)
    known = said.capabilities
    capabilities = said.device_caps if known & _DEVICE_CAPS else known
    driver, card = (text.decode(errors="replace") for text in (said.driver, said.card))
    return Device(path, driver, card, capabilities)


def devices(folder: Path = Path("/dev")) -> Iterator[Device]:
    """All video devices that may be looked at, by number."""
    paths = [p for p in folder.glob("video*") if p.name.removeprefix("video").isdecimal()]
    for path in sorted(paths, key=lambda p: int(p.name.removeprefix("video"))):
        with suppress(OSError):
            yield describe(path)


def find_output(name: str) -> Path:
    """The device called `name`: a path, a number or a label; "" is the first free loopback.

    Raises:
        InputError: there is none.
    """
    if name.startswith("/"):
        if not Path(name).exists():
            raise InputError(f"there is no device {name}; make one: {MODPROBE}")
        return Path(name)
    if name.isdecimal():
        return find_output(f"/dev/video{name}")
    found = [device for device in devices() if device.is_loopback]
    if not found:
        raise InputError(f"this machine has no virtual camera; make one: {MODPROBE}")
    if name:
        found = [device for device in found if device.label == name]
        if not found:
            raise InputError(f"no virtual camera is called {name!r}")
    free = [device for device in found if device.capabilities & OUTPUT]
    if not free:
        raise InputError(
            f"{found[0].path} is being written to, or was left so by a program that never gave it "
            "back: `streamfx doctor` tells which"
        )
    return free[0].path


class V4l2Output:
    """Writes pictures of one size to a device; one thread uses it.

    Raises:
        InputError: it is no output, or does not take pictures like that.
        StreamFXError: it may not be opened, or is in use.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, like: Frame) -> None:
        self.shown = str(path)
        self.size = size
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(path, error) from error
        try:
            self._form = self._set_format(path, like)
            self._set_rate(fps)
            fcntl.ioctl(self._descriptor, STREAMON, ctypes.c_int(_TYPE_OUTPUT))
        except OSError as error:
            os.close(self._descriptor)
            raise _refused(path, error) from error
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, frame: Frame) -> None:
        """Show a picture of the device's size.

        Raises:
            StreamFXError: the device has gone.
        """
        data = planar(frame) if self._form == I420 else interleaved(frame)
        try:
            os.write(self._descriptor, data)
        except OSError as error:
            raise StreamFXError(f"{self.shown} takes no pictures: {error.strerror}") from error

    def close(self) -> None:
        """Give the device back."""
        with suppress(OSError):
            fcntl.ioctl(self._descriptor, STREAMOFF, ctypes.c_int(_TYPE_OUTPUT))
        os.close(self._descriptor)

    def _set_format(self, path: Path, like: Frame) -> int:
        width, height = self.size
        for form, line, total in (
            (I420, width, width * height * 3 // 2),
            (YUYV, 2 * width, 2 * width * height),
        ):
            wanted = _Format(type=_TYPE_OUTPUT)
            wanted.fmt.pix = _Pixels(
                width=width,
                height=height,
                pixelformat=form,
                field=_FIELD_NONE,
                bytesperline=line,
                sizeimage=total,
                colorspace=_SRGB_LIKE.get(like.color.matrix, 1),
                quantization=_FULL if like.color.range == 2 else _LIMITED,
            )
            fcntl.ioctl(self._descriptor, S_FMT, wanted)
            got = wanted.fmt.pix
            if (got.width, got.height, got.pixelformat) == (width, height, form):
                return form
        raise InputError(
            f"{path} does not take {width}x{height}; it is held at {got.width}x{got.height}, "
            "perhaps by a program that watches it"
        )

    def _set_rate(self, fps: float) -> None:
        parameters = _StreamParm(type=_TYPE_OUTPUT, numerator=1000, denominator=round(1000 * fps))
        with suppress(OSError):  # only what readers are told
            fcntl.ioctl(self._descriptor, S_PARM, parameters)


def planar(frame: Frame) -> bytes:
    """I420: all of Y, then all of U, then all of V."""
    return b"".join(np.ascontiguousarray(p).tobytes() for p in (frame.y, frame.u, frame.v))


def interleaved(frame: Frame) -> bytes:
    """YUYV: two pixels in four bytes; each row of chroma serves two rows."""
    packed: NDArray[np.uint8] = np.empty((frame.height, frame.width // 2, 4), np.uint8)
    packed[..., 0], packed[..., 2] = frame.y[:, 0::2], frame.y[:, 1::2]
    packed[..., 1] = np.repeat(frame.u, 2, axis=0)
    packed[..., 3] = np.repeat(frame.v, 2, axis=0)
    return packed.tobytes()


def _refused(path: Path, error: OSError) -> StreamFXError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return StreamFXError(
            f"{path} may not be opened: join the group that owns it (sudo usermod -aG video "
            "$USER) and log in again"
        )
    if error.errno == errno.ENOENT:
        return InputError(f"there is no device {path}; make one: {MODPROBE}")
    if error.errno == errno.EBUSY:
        return StreamFXError(f"{path} is in use by another program")
    if error.errno in (errno.ENOTTY, errno.EINVAL, errno.ENODEV):
        return InputError(
            f"{path} takes no pictures: it is no virtual camera, or is still held by a program "
            "that wrote to it (`streamfx doctor` tells)"
        )
    return StreamFXError(f"{path} cannot be used: {error.strerror or error}")
