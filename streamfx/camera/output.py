"""The platform's way to a virtual camera."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame

_NO_EXTRA = (
    "virtual cameras need the extra: pip install 'streamfx[camera]', and OBS Studio for its "
    "camera driver"
)


class CameraOutput(Protocol):
    """A camera that is open; one thread uses it.

    Attributes:
        shown: the device, for people.
        size: (width, height) of every picture.
    """

    shown: str
    size: tuple[int, int]

    def write(self, frame: Frame) -> None:
        """Show a picture of that size; StreamFXError where the camera has gone."""

    def close(self) -> None:
        """Give the device back; called exactly once."""


def open_camera(device: str, size: tuple[int, int], fps: float, like: Frame) -> CameraOutput:
    """Open a virtual camera.

    Args:
        device: a path, number or name; "" is the first free one.
        size: (width, height), even.
        like: a picture whose colour tags are those of all that follow.

    Raises:
        InputError, StreamFXError: there is none, or it cannot be used.
    """
    if sys.platform.startswith("linux"):
        from streamfx.camera.v4l2 import V4l2Output, find_output

        return V4l2Output(find_output(device), size, fps, like)
    return PyVirtualCam(device, size, fps)


def check_camera(device: str) -> None:
    """Look whether there is such a camera, as far as can be told without opening it.

    Raises:
        InputError: there is none, or the extra is not installed.
    """
    if sys.platform.startswith("linux"):
        from streamfx.camera.v4l2 import find_output

        find_output(device)
    elif find_spec("pyvirtualcam") is None:
        raise InputError(_NO_EXTRA)


class PyVirtualCam:
    """OBS Virtual Camera or Unity Capture, through pyvirtualcam (extra `camera`).

    Raises:
        InputError: the extra or the camera's driver is not installed.
    """

    def __init__(self, device: str, size: tuple[int, int], fps: float) -> None:
        try:
            library: Any = import_module("pyvirtualcam")
        except ImportError as error:
            raise InputError(_NO_EXTRA) from error
        self.size = size
        try:
            self._camera = library.Camera(
                *size, fps, device=device or None, fmt=library.PixelFormat.I420
            )
        except (RuntimeError, ValueError, KeyError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"no virtual camera can be opened: {said}; install OBS Studio and start its "
                "virtual camera once"
            ) from error
        self.shown = str(self._camera.device)

    def write(self, frame: Frame) -> None:
        planes = [np.ravel(plane) for plane in (frame.y, frame.u, frame.v)]
        try:
            self._camera.send(np.concatenate(planes))
        except RuntimeError as error:
            raise StreamFXError(f"{self.shown} takes no pictures any more: {error}") from error

    def close(self) -> None:
        self._camera.close()
