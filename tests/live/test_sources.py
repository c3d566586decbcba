"""Files, URLs and the demo scene as sources of live streams."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest

import packs
import videos
import watching
from streamfx.errors import InputError, StreamFXError
from streamfx.live import LiveSettings, LiveStream, StyleShelf, files
from streamfx.live.demo import DemoSource, scene
from streamfx.live.files import FileSource
from watching import DEADLINE, Watcher, luma


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LiveStream]:
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, fps=60)
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    yield stream
    stream.close()


class End:
    """Takes `on_end` and waits for it."""

    def __init__(self) -> None:
        self.calls: list[Exception | None] = []
        self._event = Event()

    def __call__(self, error: Exception | None) -> None:
        self.calls.append(error)
        self._event.set()

    def wait(self) -> Exception | None:
        assert self._event.wait(DEADLINE)
        return self.calls[0]


def test_a_file_plays_at_its_own_speed_with_its_sound(stream: LiveStream, tmp_path: Path) -> None:
    path = videos.make_video(tmp_path / "a.mp4", frames=20, sound="aac")
    end = End()
    source = FileSource(stream, str(path), on_end=end)
    watcher = Watcher(stream)
    begin = time.monotonic()
    source.start()
    assert end.wait() is None
    assert time.monotonic() - begin >= 20 / videos.RATE - 0.05
    assert stream.stats().frames_in == 20
    watcher.wait(lambda: watcher.pictures and len(watcher.sounds) >= 20)
    stream.close()
    levels = [luma(frame)[:, :28].mean() for frame in watcher.decoded()]
    assert (np.diff(levels) > 0).all(), "out of order"
    # Whatever was skipped on a busy machine, each picture has the time that it has in the file.
    first, step = videos.level(0) * 219 / 255 + 16, 8 * 219 / 255  # in limited range
    numbers = [round((level - first) / step) for level in levels]
    pts = np.array([packet.pts for packet in watcher.pictures]) / 90_000
    steps = pts - pts[0] - (np.array(numbers) - numbers[0]) / videos.RATE
    assert np.abs(steps).max() < 0.005, steps
    sounds = [packet.pts for packet in watcher.sounds]
    # The first pictures are skipped while the engines are compiled; the sound is not.
    assert abs(sounds[0] / 48_000 - (pts[0] - numbers[0] / videos.RATE)) < 0.1
    source.stop()
    assert end.calls == [None]


def test_sound_is_not_too_early_where_pictures_are_rare(
    stream: LiveStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = videos.make_video(
        tmp_path / "a.mkv", times=range(6), time_base=Fraction(1), sound="aac", codec="ffv1"
    )
    early: list[float] = []
    monkeypatch.setattr(
        stream, "push_audio", lambda _, captured: early.append(captured - time.monotonic())
    )
    source = FileSource(stream, str(path))
    source.start()
    watching.wait_for(lambda: len(early) > 2.5 * 48_000 / 1024, "two seconds and a half of sound")
    source.stop()
    assert 0 < max(early) < 2


def test_a_loop_goes_on_without_a_gap(stream: LiveStream, tmp_path: Path) -> None:
    path = videos.make_video(tmp_path / "a.mp4", frames=6)
    end = End()
    source = FileSource(stream, str(path), loop=True, on_end=end)
    watcher = Watcher(stream)
    source.start()
    watcher.wait_pictures(20)
    source.stop()
    source.stop()
    assert end.calls == [], "it was stopped and did not end by itself"
    pts = np.diff([packet.pts for packet in watcher.pictures]) / 90_000
    assert (pts > 0).all()
    # A round that begins late by the opening of the file shows its first frames late, no more.
    length = (watcher.pictures[-1].pts - watcher.pictures[0].pts) / 90_000
    assert length >= 19 / videos.RATE - 0.05


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "'none.mp4' cannot be opened: No such file"),
        ("text.mp4", b"hello" * 100, "'text.mp4' cannot be opened"),
        ("empty.mp4", b"", "'empty.mp4' cannot be opened"),
    ],
)
def test_files_that_are_no_videos(
    stream: LiveStream, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    end = End()
    FileSource(stream, str(tmp_path / name), loop=True, on_end=end).start()
    error = end.wait()
    assert isinstance(error, InputError)
    assert message in str(error)
    assert str(tmp_path) not in str(error)


def test_sound_alone_is_no_video(stream: LiveStream, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as output:
        audio = output.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), "s16", "stereo")
        silence.sample_rate = 48_000
        output.mux(audio.encode(silence))
    end = End()
    FileSource(stream, str(path), on_end=end).start()
    assert "holds no picture" in str(end.wait())


def test_a_file_that_is_cut_off_ends_with_what_it_has(stream: LiveStream, tmp_path: Path) -> None:
    path = videos.make_video(tmp_path / "a.ts", frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    end = End()
    FileSource(stream, str(path), on_end=end).start()
    end.wait()
    assert 0 < stream.stats().frames_in < 30


def test_a_playlist_leads_nowhere(stream: LiveStream, tmp_path: Path) -> None:
    """A file may name others; over the network it may not reach for them."""
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n")
    end = End()
    FileSource(stream, str(playlist), on_end=end).start()
    assert isinstance(end.wait(), StreamFXError)


def test_a_stalled_connection_ends_in_bounded_time(
    stream: LiveStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "OPEN_TIMEOUT", 0.5)
    monkeypatch.setattr(files, "READ_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts and says nothing
        url = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/live.ts?key=secret"
        end = End()
        FileSource(stream, url, on_end=end).start()
        error = end.wait()
        assert isinstance(error, InputError)
        assert "cannot be opened" in str(error)
        assert "secret" not in str(error)
        never = End()
        stopped = FileSource(stream, url, on_end=never)
        stopped.start()
        stopped.stop()
        assert never.calls == []


def test_a_clock_that_jumps_and_one_that_is_late() -> None:
    clock = files.FileClock()
    assert clock.captured(1.0) is None
    begin = time.monotonic()
    assert clock.position(100.0, 0.1) == 100.0
    assert clock.due(100.0) == pytest.approx(begin, abs=0.4)
    assert clock.position(104.0, 0.1) == 104.0, "a pause"
    assert clock.position(50_000.0, 0.1) == pytest.approx(104.1), "another clock"
    assert clock.position(50_000.1, 0.1) == pytest.approx(104.2)
    captured = clock.captured(50_000.2)
    assert captured is not None
    assert captured - clock.due(104.2) == pytest.approx(0.1)
    clock.begin_round()
    assert clock.position(0.0, 0.1) == pytest.approx(104.3)
    # What should have been shown a minute ago is due now, and so is what follows it.
    assert clock.due(40.0) == pytest.approx(time.monotonic(), abs=0.4)
    assert clock.due(40.1) - clock.due(40.0) == pytest.approx(0.1, abs=0.4)


def test_a_network_stream_plays(stream: LiveStream, tmp_path: Path) -> None:
    """MPEG-TS over TCP, whose clock begins anywhere."""
    path = videos.make_video(tmp_path / "a.ts", frames=15, sound="aac")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(path.read_bytes())

        thread = threading.Thread(target=serve)
        thread.start()
        end = End()
        watcher = Watcher(stream)
        FileSource(stream, f"tcp://127.0.0.1:{server.getsockname()[1]}", on_end=end).start()
        assert end.wait() is None
        thread.join()
    assert stream.stats().frames_in == 15
    assert watcher.pictures
    assert watcher.sounds


def test_the_size_may_change_within_a_file(stream: LiveStream, tmp_path: Path) -> None:
    parts = [
        videos.make_video(tmp_path / f"{n}.ts", frames=6, size=size).read_bytes()
        for n, size in enumerate([(64, 48), (96, 48)])
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    end = End()
    seen = set()
    push = stream.push
    stream.push = lambda frame, due: (seen.add((frame.width, frame.height)), push(frame, due))  # type: ignore[method-assign]
    FileSource(stream, str(path), on_end=end).start()
    assert end.wait() is None
    assert seen == {(64, 48), (96, 48)}


def test_pixels_that_are_not_square_become_square(stream: LiveStream, tmp_path: Path) -> None:
    path = videos.make_video(
        tmp_path / "a.mp4", frames=3, context={"sample_aspect_ratio": Fraction(3, 2)}
    )
    end = End()
    FileSource(stream, str(path), on_end=end).start()
    assert end.wait() is None
    assert stream.stats().size_in == (96, 48)


def test_the_demo_scene_moves_and_sounds(tmp_path: Path) -> None:
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, size=(128, 72))
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    source = DemoSource(stream)
    source.stop()
    source = DemoSource(stream)
    threads = threading.active_count()
    watcher = Watcher(stream)
    source.start()
    watcher.wait(lambda: len(watcher.pictures) >= 10 and len(watcher.sounds) >= 20)
    source.stop()
    assert threading.active_count() == threads
    frames = watcher.decoded()
    assert {(frame.width, frame.height) for frame in frames} == {(128, 72)}
    moved = np.abs(luma(frames[-1]).astype(int) - luma(frames[0])).mean()
    assert moved > 1
    assert (np.diff([packet.pts for packet in watcher.sounds]) == 960).all()
    stream.close()


def test_the_scene_looks_like_the_one_that_is_rendered() -> None:
    from streamfx.color import frame_to_rgb
    from streamfx.demo import draw

    frame = scene(2.0, 128, 72)
    assert frame.y.flags.c_contiguous
    assert frame.v.shape == (36, 64)
    difference = frame_to_rgb(frame).astype(int) - draw(2.0, 128, 72)
    assert np.abs(difference).mean() < 8  # the colours are of another matrix, the sea is softer
