"""The NVIDIA GPU of this machine, asked of the driver alone.

The CUDA and TensorRT libraries crash or return null where there is no driver, so libcuda is asked
through ctypes before one of them is touched.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from streamfx.engines.base import Unavailable

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE = 100
_NAME_LENGTH = 256
# CUdevice_attribute
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_FIX = "install NVIDIA's driver, if there is such a GPU"


@dataclass(frozen=True)
class Gpu:
    """The first GPU that CUDA lists (`CUDA_VISIBLE_DEVICES` says which that is).

    Attributes:
        name: as the driver says it.
        capability: compute capability, (8, 9) for SM 89.
        cuda: the newest CUDA version that the driver takes, (major, minor).
        count: how many GPUs there are.
    """

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]
    count: int = 1

    @property
    def sm(self) -> int:
        """The compute capability as one number, 89 for 8.9."""
        return self.capability[0] * 10 + self.capability[1]


def find_gpu(library: str = LIBRARY) -> Gpu | Unavailable:
    """The GPU at hand, or why there is none; never raises.

    Args:
        library: name or path of the driver's library.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return Unavailable(f"no NVIDIA driver: {library} is not there", _FIX)
    try:
        return _first(driver)
    except AttributeError:
        return Unavailable(f"{library} is not NVIDIA's driver", _FIX)
    except _DriverError as error:
        if error.code == _NO_DEVICE:
            return Unavailable("the NVIDIA driver finds no GPU", "plug in or enable the GPU")
        return Unavailable(f"the NVIDIA driver says error {error.code}", "restart, or update it")


class _DriverError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _first(driver: Any) -> Gpu:
    def ask(function: str, *arguments: Any) -> None:
        if code := getattr(driver, function)(*arguments):
            raise _DriverError(code)

    version, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    ask("cuInit", 0)
    ask("cuDriverGetVersion", ctypes.byref(version))
    ask("cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise _DriverError(_NO_DEVICE)
    ask("cuDeviceGet", ctypes.byref(device), 0)
    ask("cuDeviceGetName", name, _NAME_LENGTH, device)
    ask("cuDeviceGetAttribute", ctypes.byref(major), _CAPABILITY_MAJOR, device)
    ask("cuDeviceGetAttribute", ctypes.byref(minor), _CAPABILITY_MINOR, device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        capability=(major.value, minor.value),
        cuda=(version.value // 1000, version.value % 1000 // 10),
        count=count.value,
    )
