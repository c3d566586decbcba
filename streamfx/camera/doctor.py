"""What `streamfx doctor` says of cameras, real and virtual."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.doctor import Check, State

if TYPE_CHECKING:
    from streamfx.camera.v4l2 import Device

REAL, VIRTUAL = "cameras", "virtual camera"
_INSTALL = "install v4l2loopback (Debian, Ubuntu: sudo apt install v4l2loopback-dkms), then: "
_RELOAD = "close what uses it, then: sudo modprobe -r v4l2loopback && "


def examine_cameras(platform: str = sys.platform) -> list[Check]:
    """The cameras that can be sources, and whether a virtual camera can be written.

    A check's name is `cameras` or `virtual camera`; none of them is ever BROKEN.
    """
    if platform.startswith("linux"):
        from streamfx.camera.v4l2 import devices

        return linux_checks(list(devices()), holders, closed_devices())
    return [
        Check(REAL, State.OK, "read through the system (device:0 is the first)"),
        _extra(find_spec("pyvirtualcam") is not None),
    ]


def linux_checks(
    found: Iterable[Device],
    held_by: Callable[[Path], Mapping[int, str]],
    closed: Iterable[Path] = (),
) -> list[Check]:
    """The checks of a Linux machine with these devices.

    Args:
        held_by: the processes that have a device open, number -> name.
        closed: devices that may not be looked at.
    """
    from streamfx.camera.v4l2 import CAPTURE, MODPROBE

    devices = list(found)
    real = [d for d in devices if not d.is_loopback and d.capabilities & CAPTURE]
    names = ", ".join(f"{d.path} ({d.label})" for d in real)
    no_camera = Check(REAL, State.OPTIONAL, "none", "plug in a camera")
    checks = [Check(REAL, State.OK, names) if real else no_camera]
    shut = ", ".join(str(path) for path in closed)
    if shut:
        checks.append(
            Check(
                REAL,
                State.OPTIONAL,
                f"{shut} may not be opened",
                "sudo usermod -aG video $USER, and log in again",
            )
        )
    loopbacks = [d for d in devices if d.is_loopback]
    if not loopbacks:
        checks.append(Check(VIRTUAL, State.OPTIONAL, "none", _INSTALL + MODPROBE))
    return checks + [_loopback(device, held_by(device.path)) for device in loopbacks]


def _loopback(device: Device, held: Mapping[int, str]) -> Check:
    from streamfx.camera.v4l2 import CAPTURE, MODPROBE, OUTPUT

    name = f"{device.path} ({device.label})"
    users = ", ".join(f"{program} ({number})" for number, program in held.items())
    if device.capabilities & OUTPUT:
        if device.capabilities & CAPTURE:
            return Check(
                VIRTUAL,
                State.OPTIONAL,
                f"{name} is there, but browsers list no camera that can be written as well",
                _RELOAD + MODPROBE,
            )
        return Check(VIRTUAL, State.OK, f"{name} is free" + (f"; open in {users}" if users else ""))
    if users:
        return Check(VIRTUAL, State.OK, f"{name} is on the air, open in {users}")
    return Check(
        VIRTUAL,
        State.OPTIONAL,
        f"{name} is stuck: nothing that can be seen from here has it open, and yet it cannot be "
        "written; the program that wrote it never gave it back",
        _RELOAD + MODPROBE,
    )


def _extra(installed: bool) -> Check:
    if installed:
        return Check(VIRTUAL, State.OK, "pyvirtualcam, with the driver that OBS Studio installs")
    fix = "pip install 'streamfx[camera]', and install OBS Studio for its driver"
    return Check(VIRTUAL, State.OPTIONAL, "the extra camera is not installed", fix)


def holders(path: Path, processes: Path = Path("/proc")) -> dict[int, str]:
    """The processes of this user, of all users for root, that have a file open."""
    found: dict[int, str] = {}
    for process in processes.glob("[0-9]*"):
        try:
            opened = {str(link.readlink()) for link in (process / "fd").iterdir()}
            if str(path) in opened and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "comm").read_text().strip()
        except OSError:  # it has ended, or is another user's
            continue
    return found


def closed_devices(folder: Path = Path("/dev")) -> list[Path]:
    """Video devices that this user may not open."""
    return [p for p in sorted(folder.glob("video[0-9]*")) if not os.access(p, os.R_OK | os.W_OK)]
