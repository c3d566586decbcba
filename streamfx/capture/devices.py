"""Cameras and screens as FFmpeg opens them on each platform. Nothing here opens anything.

Options are those of FFmpeg's devices: https://ffmpeg.org/ffmpeg-devices.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamfx.endpoints import Endpoint
from streamfx.errors import InputError

# Frames wait for nobody, and the container is not looked at for seconds first.
_AT_ONCE = {"fflags": "nobuffer", "analyzeduration": "1000000"}
_TIMEOUT = "5000000"  # microseconds
_SCREEN_FPS = 30
_BUFFER = "4194304"


@dataclass(frozen=True)
class Input:
    """What FFmpeg is asked to open: a URL or a name, the format, and options."""

    target: str
    form: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def input_of(
    endpoint: Endpoint,
    platform: str,
    environ: Mapping[str, str],
    cameras: Sequence[str] = (),
) -> Input:
    """How a source is opened.

    Args:
        endpoint: of the kind device, screen, rtmp, rtsp, http, udp or tcp.
        platform: as `sys.platform` has it.
        environ: DISPLAY and WAYLAND_DISPLAY.
        cameras: names of the cameras that are there, for Windows, which numbers none.

    Raises:
        InputError: this platform has no such source.
    """
    if endpoint.kind == "device":
        return _camera(endpoint, platform, cameras)
    if endpoint.kind == "screen":
        return _screen(endpoint, platform, environ)
    return _pull(endpoint)


def _shape(endpoint: Endpoint, **names: str) -> dict[str, str]:
    """The wanted size and rate, by the names that the device has for them."""
    wanted = {"fps": endpoint.fps, "size": endpoint.size}
    values = {
        "fps": f"{wanted['fps']:g}" if wanted["fps"] else None,
        "size": "{}x{}".format(*endpoint.size) if endpoint.size else None,
    }
    return {names[key]: value for key, value in values.items() if value and key in names}


def _camera(endpoint: Endpoint, platform: str, cameras: Sequence[str]) -> Input:
    shape = _shape(endpoint, fps="framerate", size="video_size")
    name = endpoint.target or "0"
    if platform.startswith("linux"):
        path = f"/dev/video{name}" if name.isdecimal() else name
        if not path.startswith("/dev/"):
            raise InputError(f"a camera is like device:0 or device:/dev/video0, not device:{name}")
        return Input(path, "v4l2", shape)
    if platform == "darwin":
        return Input(f"{name}:none", "avfoundation", {"framerate": "30", **shape})
    if platform == "win32":
        if name.isdecimal():
            if int(name) >= len(cameras):
                found = ", ".join(cameras) or "none"
                raise InputError(f"there is no camera {name}; there are: {found}")
            name = cameras[int(name)]
        return Input(f"video={name}", "dshow", {"rtbufsize": "64M", **shape})
    raise InputError(f"cameras cannot be read on {platform}")


def _screen(endpoint: Endpoint, platform: str, environ: Mapping[str, str]) -> Input:
    number = endpoint.target or "0"
    shape = {"framerate": str(_SCREEN_FPS), **_shape(endpoint, fps="framerate")}
    if platform.startswith("linux"):
        display = environ.get("DISPLAY")
        if not display:
            wayland = " (Wayland gives screens to portals alone)"
            raise InputError(
                "no X display: DISPLAY is not set"
                + (wayland if environ.get("WAYLAND_DISPLAY") else "")
                + "; capture the screen with OBS and send it here over RTMP or WHIP"
            )
        head = display if "." in display.rpartition(":")[2] else f"{display}.{number}"
        return Input(head, "x11grab", {"draw_mouse": "1", **shape})
    if platform == "darwin":
        return Input(f"Capture screen {number}:none", "avfoundation", shape)
    if platform == "win32":
        if number != "0":
            raise InputError("on Windows only the whole desktop, screen:0, can be captured")
        return Input("desktop", "gdigrab", shape)
    raise InputError(f"screens cannot be captured on {platform}")


def _pull(endpoint: Endpoint) -> Input:
    scheme = endpoint.url.scheme
    if endpoint.kind == "rtmp":
        return Input(endpoint.target, None, {**_AT_ONCE, "rw_timeout": _TIMEOUT})
    if endpoint.kind == "rtsp":
        options = {"rtsp_transport": "tcp", "timeout": _TIMEOUT}
        return Input(endpoint.target, None, {**_AT_ONCE, **options})
    if endpoint.kind == "http":
        options = {"rw_timeout": _TIMEOUT, "reconnect": "0"}
        return Input(endpoint.target, None, {"analyzeduration": "2000000", **options})
    if endpoint.kind == "udp":
        options = {"overrun_nonfatal": "1", "fifo_size": "50000", "buffer_size": _BUFFER}
        parts = endpoint.url
        query = f"{parts.query}&" if parts.query else ""
        settings = "&".join(f"{name}={value}" for name, value in options.items())
        url = parts._replace(query=f"{query}{settings}&timeout={_TIMEOUT}").geturl()
        return Input(url, "mpegts", _AT_ONCE)
    if endpoint.kind == "tcp":
        return Input(endpoint.target, "mpegts", {**_AT_ONCE, "rw_timeout": _TIMEOUT})
    raise InputError(f"{scheme}: cannot be pulled")
