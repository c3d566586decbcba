"""The virtual camera: what is written, when, and what the doctor says; no device needed."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

import packs
from streamfx.camera import CameraSink, open_camera, output, v4l2
from streamfx.camera.doctor import examine_cameras, holders, linux_checks
from streamfx.camera.picture import card, fitted
from streamfx.camera.ticks import Ticks
from streamfx.camera.v4l2 import CAPTURE, OUTPUT, Device, find_output, interleaved, planar
from streamfx.doctor import State
from streamfx.endpoints import parse_sink
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.sinks import open_sink
from watching import grey, wait_for


def picture(width: int = 64, height: int = 48) -> Frame:
    ramp = np.arange(width * height).reshape(height, width)
    chroma = np.arange(width * height // 4).reshape(height // 2, width // 2)
    return Frame(*((p % 200 + 20).astype(np.uint8) for p in (ramp, chroma, chroma + 7)))


def test_pictures_keep_their_shape_and_may_be_mirrored() -> None:
    wide = picture(64, 32)
    shown = fitted(wide, (64, 64), mirror=False)
    assert (shown.width, shown.height) == (64, 64)
    assert (shown.y[:16] == 16).all()
    assert (shown.y[16:48] == wide.y).all()
    mirrored = fitted(wide, (64, 64), mirror=True)
    assert (mirrored.y[16:48] == wide.y[:, ::-1]).all()
    assert (mirrored.u[8:24] == wide.u[:, ::-1]).all()


@pytest.mark.parametrize("size", [(32, 32), (320, 240), (1280, 720)])
def test_the_card_says_something(size: tuple[int, int]) -> None:
    shown = card(size, "StreamFX: waiting for the picture")
    assert (shown.width, shown.height) == size
    assert shown.y.max() > 100


def test_the_packed_format_is_ffmpeg_s() -> None:
    frame = picture()
    packed = av.VideoFrame.from_ndarray(
        np.frombuffer(interleaved(frame), np.uint8).reshape(48, 64, 2), "yuyv422"
    )
    planes = packed.reformat(format="yuv422p").planes
    y, u, v = (
        np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in planes
    )
    assert (y == frame.y).all()
    for rows, plane in ((u, frame.u), (v, frame.v)):
        assert (rows == np.repeat(plane, 2, axis=0)).all()


def test_the_clock_is_steady_and_makes_up_for_a_little() -> None:
    ticks = Ticks(10, 100.0)
    assert ticks.wait(100.0) == pytest.approx(0.1)
    assert ticks.wait(100.13) == pytest.approx(0.07)
    assert ticks.wait(100.5) == 0  # late: the next ones follow at once
    assert ticks.wait(100.5) == 0
    assert ticks.wait(110.0) == 0  # far too late: it goes on from here
    assert ticks.wait(110.0) == pytest.approx(0.1)


def test_structures_have_the_kernel_s_sizes() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("the numbers are those of 64-bit machines")
    # From <linux/videodev2.h> on x86-64.
    assert v4l2.QUERYCAP == 0x80685600
    assert v4l2.S_FMT == 0xC0D05605
    assert v4l2.STREAMON == 0x40045612
    assert v4l2.STREAMOFF == 0x40045613
    assert v4l2.S_PARM == 0xC0CC5616


class Fake:
    """A camera that keeps what it is shown, and can break."""

    shown = "fake"

    def __init__(self, device: str, size: tuple[int, int], fps: float, like: Frame) -> None:
        self.size = size
        self.frames: list[Frame] = []
        self.closed = 0
        self.broken = False

    def write(self, frame: Frame) -> None:
        if self.broken:
            raise StreamFXError("the camera has gone")
        self.frames.append(frame)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LiveStream]:
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, fps=60)
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    yield stream
    stream.close()


def test_it_is_never_idle(stream: LiveStream) -> None:
    opened: list[Fake] = []

    def opener(*given: object) -> Fake:
        opened.append(Fake(*given))  # type: ignore[arg-type]
        return opened[-1]

    said: list[str] = []
    endpoint = parse_sink("camera:#size=96x96&fps=100")
    sink = CameraSink(endpoint, stream, say=said.append, opener=opener)
    sink.start()
    wait_for(lambda: opened and len(opened[0].frames) > 3)
    camera = opened[0]
    assert len({id(frame) for frame in camera.frames}) == 1, "the card"
    assert sink.status.late_ms == 0
    stream.push(grey(180), time.monotonic() - 0.5)
    wait_for(lambda: sink.status.late_ms)
    assert camera.frames[-1].y.max() == 180
    assert sink.status.late_ms >= 500
    shown = len(camera.frames)
    wait_for(lambda: len(camera.frames) > shown + 10, "the last picture again and again")
    assert {(f.width, f.height) for f in camera.frames} == {(96, 96)}
    camera.broken = True
    wait_for(lambda: len(opened) == 2, "another try")
    wait_for(lambda: len(opened[1].frames) > 3)
    assert opened[1].frames[0].y.shape == (96, 96)
    sink.stop()
    assert [each.closed for each in opened] == [1, 1]
    assert said == [
        "camera:: sending",
        "camera:: the camera has gone; trying again",
        "camera:: sending again",
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Video4Linux is Linux's")
def test_what_is_no_camera_is_refused(tmp_path: Path, stream: LiveStream) -> None:
    file = tmp_path / "video10"
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"takes no pictures: it is no virtual camera"):
        open_camera(str(file), (64, 48), 30, grey(9))
    with pytest.raises(InputError, match="sudo modprobe v4l2loopback"):
        open_sink(parse_sink("camera:/dev/no-such-device"), stream)


def device(number: int, capabilities: int, driver: str = v4l2.LOOPBACK_DRIVER) -> Device:
    return Device(Path(f"/dev/video{number}"), driver, "StreamFX", capabilities)


@pytest.mark.parametrize(
    ("capabilities", "held", "state", "found", "fix"),
    [
        (OUTPUT, {}, State.OK, "is free", ""),
        (CAPTURE, {7: "obs"}, State.OK, "on the air, open in obs (7)", ""),
        (CAPTURE, {}, State.OPTIONAL, "is stuck", "modprobe -r v4l2loopback && sudo modprobe"),
        (CAPTURE | OUTPUT, {}, State.OPTIONAL, "browsers", "exclusive_caps=1"),
    ],
)
def test_the_doctor_knows_a_loopback(
    capabilities: int, held: dict[int, str], state: State, found: str, fix: str
) -> None:
    check = linux_checks([device(10, capabilities)], lambda _: held)[-1]
    assert check.state is state
    assert found in check.found
    assert fix in check.fix


def test_the_doctor_prints_the_modprobe_line() -> None:
    checks = linux_checks([device(0, CAPTURE, "uvcvideo")], lambda _: {}, [Path("/dev/video1")])
    assert [check.state for check in checks] == [State.OK, State.OPTIONAL, State.OPTIONAL]
    assert "/dev/video0 (StreamFX)" in checks[0].found
    assert "usermod -aG video" in checks[1].fix
    assert v4l2.MODPROBE in checks[2].fix
    assert all(check.state is not State.BROKEN for check in examine_cameras())
    assert examine_cameras("win32")[-1].name == "virtual camera"


def test_who_holds_a_device(tmp_path: Path) -> None:
    target = tmp_path / "video10"
    target.write_bytes(b"")
    (tmp_path / "42" / "fd").mkdir(parents=True)
    (tmp_path / "42" / "fd" / "3").symlink_to(target)
    (tmp_path / "42" / "comm").write_text("obs\n")
    (tmp_path / "43").mkdir()
    assert holders(target, tmp_path) == {42: "obs"}


def test_the_first_free_loopback_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [device(0, CAPTURE, "uvcvideo"), device(10, CAPTURE), device(11, OUTPUT)]
    monkeypatch.setattr(v4l2, "devices", lambda: iter(found))
    assert find_output("") == Path("/dev/video11")
    monkeypatch.setattr(v4l2, "devices", lambda: iter(found[:2]))
    with pytest.raises(InputError, match="streamfx doctor"):
        find_output("")
    with pytest.raises(InputError, match="no virtual camera is called 'Other'"):
        find_output("Other")


def test_elsewhere_the_extra_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pyvirtualcam: its camera needs a driver that only some machines have."""
    sent: list[np.ndarray] = []
    camera = SimpleNamespace(device="OBS Virtual Camera", send=sent.append, close=lambda: None)
    library = SimpleNamespace(
        Camera=lambda *_, **__: camera, PixelFormat=SimpleNamespace(I420="I420")
    )
    monkeypatch.setattr(output, "import_module", lambda _: library)
    opened = output.PyVirtualCam("", (64, 48), 30)
    opened.write(picture())
    assert sent[0].tobytes() == planar(picture())

    def missing(_name: str) -> None:
        raise ImportError

    monkeypatch.setattr(output, "import_module", missing)
    with pytest.raises(InputError, match=r"streamfx\[camera\]"):
        output.PyVirtualCam("", (64, 48), 30)
