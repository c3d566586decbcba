"""What goes wrong on the way, and pictures and sound that are not what most people send."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import packs
import videos
from ports import free_port
from publishing import publishing, refused
from streamfx.capture import Source, open_source
from streamfx.endpoints import parse_sink, parse_source
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.sinks import Sink, open_sink
from watching import luma, wait_for


class Rig:
    """A stream that passes pictures on as they come, with sources and sinks; all ended at last."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self._shelf = StyleShelf(packs.tiny_pack(folder))
        self._open: list[Source | Sink] = []
        self._stream: LiveStream | None = None

    def make(self, **settings: object) -> LiveStream:
        """The stream; made once."""
        about = {"start_bitrate": 300_000, "threads": 1, "enabled": False, **settings}
        self._stream = LiveStream("test", self._shelf, LiveSettings.model_validate(about))
        return self._stream

    def source(self, name: str, **about: bool) -> Source:
        assert self._stream is not None
        opened = open_source(parse_source(name), self._stream, say=self.said.append, **about)
        return self._start(opened)

    def listen(self) -> str:
        """Let publishers come; their address."""
        url = f"rtmp://127.0.0.1:{free_port()}/live/s3cret"
        self.source(url.replace("rtmp:", "rtmp+listen:"))
        return url

    def record(self, path: Path) -> Sink:
        assert self._stream is not None
        return self._start(open_sink(parse_sink(str(path)), self._stream, say=self.said.append))

    def end(self) -> None:
        """End everything, in the order in which it began; again it does nothing."""
        for each in self._open:
            each.stop()
        if self._stream is not None:
            self._stream.close()

    def _start(self, opened: Any) -> Any:
        self._open.append(opened)
        opened.start()
        return opened


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path)
    yield found
    found.end()


def frames(path: Path) -> list[av.VideoFrame]:
    """All pictures, up to one that was cut off."""
    found: list[av.VideoFrame] = []
    with av.open(str(path)) as file, suppress(av.error.InvalidDataError):
        found.extend(file.decode(video=0))
    return found


def sound(path: Path) -> NDArray[np.float32]:
    """One channel, -1..1."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def means(frame: av.VideoFrame) -> list[float]:
    """The mean of each plane in the middle of a 4:2:0 picture."""
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width]
        height, width = rows.shape
        found.append(float(rows[height // 4 : -height // 4, width // 4 : -width // 4].mean()))
    return found


# Publishers


def test_a_publisher_is_let_in_once_by_its_key_and_may_return(rig: Rig) -> None:
    stream = rig.make(keep_warm=True)
    url = rig.listen()
    with publishing(url):
        wait_for(lambda: stream.stats().frames_in > 5, "the first publisher")
        for other in (url, url.replace("s3cret", "guess"), url.replace("live", "other")):
            refused(other)
        before = stream.stats().frames_in
        wait_for(lambda: stream.stats().frames_in > before + 15, "the first one going on")
        assert len(rig.said) == 1, rig.said
    wait_for(lambda: stream.stats().state == "paused", "the notice")
    with publishing(url):
        wait_for(lambda: stream.stats().state == "live", "the return")
    assert "s3cret" not in "".join(rig.said)


def test_a_publisher_that_stands_still_and_then_dies_is_noticed(rig: Rig) -> None:
    stream = rig.make(keep_warm=True)
    url = rig.listen()
    with publishing(url) as publisher:
        wait_for(lambda: stream.stats().frames_in > 5, "pictures")
        publisher.send_signal(signal.SIGSTOP)  # the connection stands, and nothing comes
        wait_for(lambda: len(rig.said) > 1, "the sentence")
        assert rig.said[1].endswith("no pictures come: the source stalls")
        assert stream.stats().state == "paused"
        publisher.kill()
        wait_for(lambda: rig.said[-1].endswith("trying again"), "its end")
    with publishing(url):
        wait_for(lambda: stream.stats().state == "live", "another publisher")


@pytest.mark.parametrize(
    ("size", "pix_fmt"),
    [
        ("159x97", "yuv444p"),
        ("160x96", "yuv444p"),
        ("160x96", "yuv422p"),
        ("160x96", "yuv420p10le"),
        ("158x94", "yuv444p10le"),
    ],
)
def test_a_publisher_may_send_any_h264(rig: Rig, tmp_path: Path, size: str, pix_fmt: str) -> None:
    """Sides that are odd, 4:4:4 and ten bits: what goes out is plain, and has the same colours."""
    rig.make()
    url, path = rig.listen(), tmp_path / "show.mkv"
    record = rig.record(path)
    picture = f"color=c=0x8040c0:size={size}:rate=15,format={pix_fmt}"
    with publishing(url, picture=picture, coding=("-pix_fmt", pix_fmt, "-crf", "1")):
        wait_for(lambda: record.status.pictures >= 15, f"pictures; {rig.said}")
    rig.end()
    shown = frames(path)
    assert len(shown) == record.status.pictures
    width, height = map(int, size.split("x"))
    assert {frame.format.name for frame in shown} == {"yuv420p"}
    assert shown[0].width % 2 == shown[0].height % 2 == 0
    assert abs(shown[0].width - width) <= 1 and abs(shown[0].height - height) <= 1
    red, green, blue = 0x80, 0x40, 0xC0  # BT.601, limited range
    wanted = [
        16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255,
        128 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255,
        128 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255,
    ]
    assert means(shown[10]) == pytest.approx(wanted, abs=4)


def test_a_publisher_without_sound_gets_silence(rig: Rig, tmp_path: Path) -> None:
    rig.make()
    url, path = rig.listen(), tmp_path / "show.mp4"
    record = rig.record(path)
    with publishing(url, sound=None):
        wait_for(lambda: record.status.pictures >= 30)
    rig.end()
    shown, heard = frames(path), sound(path)
    length = float((shown[-1].pts - shown[0].pts) * shown[0].time_base)
    assert len(heard) / 48_000 == pytest.approx(length, abs=0.5)
    assert np.abs(heard).max() == 0


def test_sound_alone_is_said_and_the_next_one_is_let_in(rig: Rig) -> None:
    stream = rig.make(keep_warm=True)
    url = rig.listen()
    with publishing(url, picture=None):
        wait_for(lambda: rig.said, "the sentence")
    assert "holds no picture: there is nothing to restyle; trying again" in rig.said[0]
    with publishing(url):
        wait_for(lambda: stream.stats().frames_in > 5, f"pictures; {rig.said}")


# Files


def play(rig: Rig, clip: Path, path: Path) -> None:
    """Play a clip in a loop until a recording has some of it."""
    record = rig.record(path)
    rig.source(str(clip), loop=True)
    wait_for(lambda: record.status.pictures >= 45)
    rig.end()


def times(shown: list[av.VideoFrame]) -> NDArray[np.float64]:
    return np.array([float(frame.pts * frame.time_base) for frame in shown])


def numbers(shown: list[av.VideoFrame]) -> list[int]:
    """Which frames of `videos.make_video` these are, 0..19."""
    greys = [luma(frame)[:, : frame.width // 2 - 8].mean() for frame in shown]
    return [round(((grey - 16) * 255 / 219 - videos.level(0)) / 8) for grey in greys]


def test_variable_times_are_kept(rig: Rig, tmp_path: Path) -> None:
    """Each picture of a recording is shown as long after the one before as the source has it."""
    when = [0, 40, 90, 200, 235, 300, 500, 550, 600, 640, 1000, 1040, 1090, 1140, 1200]
    clip = videos.make_video(
        tmp_path / "a.mkv", times=when, time_base=Fraction(1, 1000), last=60, codec="ffv1"
    )
    rig.make()
    play(rig, clip, tmp_path / "show.mkv")
    shown = frames(tmp_path / "show.mkv")
    # Whatever a busy machine skips; a step to an earlier number begins another round.
    steps = [
        (after - before, (when[j] - when[i]) / 1000)
        for (before, after), (i, j) in zip(
            pairwise(times(shown)), pairwise(numbers(shown)), strict=True
        )
        if j > i
    ]
    assert len(steps) > 20
    found, wanted = np.array(steps).T
    np.testing.assert_allclose(found, wanted, atol=0.003)


def test_a_source_of_120_frames_a_second_keeps_its_speed(rig: Rig, tmp_path: Path) -> None:
    """What is too much is left out evenly, counted, and the rest has its own times."""
    clip = videos.make_video(
        tmp_path / "a.mkv", times=range(40), time_base=Fraction(1, 120), codec="ffv1"
    )
    stream = rig.make(fps=30)
    play(rig, clip, tmp_path / "show.mkv")
    stats = stream.stats()
    assert stats.dropped["fps_cap"] > 0.6 * stats.frames_in
    steps = np.diff(times(frames(tmp_path / "show.mkv")))
    assert steps.min() > 0.7 / 30  # a picture of the source earlier at most
    assert np.median(steps) == pytest.approx(1 / 30, abs=0.002)


# Disks


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("there is no `mount` for a small file system")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("name", ["show.mkv", "show.mp4", "show.ts", "live.m3u8"])
def test_a_full_disk_ends_no_other_recording_and_is_used_again(
    rig: Rig, tmp_path: Path, small: Path, name: str
) -> None:
    rig.make(size=(320, 180), start_bitrate=3_000_000)
    beside, full = rig.record(tmp_path / "beside.mkv"), rig.record(small / name)
    rig.source("demo:")
    wait_for(lambda: full.status.state == "retrying", "a full disk")
    assert full.status.error == "No space left on device"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
    wait_for(lambda: not full.status.error, "another try")
    before = full.status.pictures
    wait_for(lambda: full.status.pictures > before + 30, "pictures after it")
    rig.end()
    assert f"{name}: No space left on device; trying again" in rig.said
    assert beside.status.connects == 1
    assert len(frames(tmp_path / "beside.mkv")) == beside.status.pictures
    if name != "live.m3u8":
        # What was there stays and plays, as does what came after it.
        assert len(frames(small / name)) > 5
        newest = max(small.iterdir(), key=lambda path: path.stat().st_mtime)
        assert len(frames(newest)) > 30
