"""Sinks beside a live stream: what arrives is what was sent, and none disturbs another."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest

import packs
from ports import free_port
from streamfx.capture import open_source
from streamfx.endpoints import parse_sink, parse_source
from streamfx.errors import InputError, StreamFXError
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.demo import DemoSource
from streamfx.rtmp.server import RtmpServer
from streamfx.sinks import Sink, open_sink
from streamfx.sinks.base import PacketSink
from streamfx.sinks.feed import Item
from watching import wait_for


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[LiveStream]:
    settings = LiveSettings(
        precision="fp32", threads=1, enabled=False, fps=30, size=(160, 96), start_bitrate=300_000
    )
    stream = LiveStream("test", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    source = DemoSource(stream)
    source.start()
    yield stream
    source.stop()
    stream.close()


def sink(stream: LiveStream, name: str, said: list[str] | None = None) -> Sink:
    found = open_sink(parse_sink(name), stream, say=([] if said is None else said).append)
    found.start()
    return found


def played(path: Path) -> tuple[list[float], float]:
    """The times of a file's pictures, and the seconds of its sound."""
    with av.open(str(path)) as file:
        times = [float(f.pts * f.time_base) for f in file.decode(video=0)]
    with av.open(str(path)) as file:
        sound = sum(f.samples for f in file.decode(audio=0)) / 48_000
    return times, sound


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_a_recording_has_every_picture_and_plays_while_it_runs(
    stream: LiveStream, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"show{suffix}"
    recording = sink(stream, str(path))
    wait_for(lambda: recording.status.pictures >= 90)
    # What a kill would leave.
    shutil.copy(path, tmp_path / f"cut{suffix}")
    cut, _ = played(tmp_path / f"cut{suffix}")
    assert len(cut) >= 30
    recording.stop()
    times, sound = played(path)
    assert len(times) == recording.status.pictures
    assert (np.diff(times) > 0).all()
    assert sound == pytest.approx(times[-1] - times[0], abs=0.7)


def test_a_recording_in_parts_loses_nothing_and_writes_over_nothing(
    stream: LiveStream, tmp_path: Path
) -> None:
    (tmp_path / "show-0001.mkv").write_bytes(b"kept")
    recording = sink(stream, f"file:{tmp_path}/show.mkv#segment=1")
    wait_for(lambda: len(list(tmp_path.glob("show-*.mkv"))) >= 4)
    recording.stop()
    assert (tmp_path / "show-0001.mkv").read_bytes() == b"kept"
    parts = sorted(tmp_path.glob("show-*.mkv"))[1:]
    counts = [played(part)[0] for part in parts]
    assert sum(map(len, counts)) == recording.status.pictures
    assert all(times[0] < 0.1 for times in counts)


def test_hls_has_whole_segments(stream: LiveStream, tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    live = sink(stream, str(playlist))
    wait_for(lambda: playlist.exists() and playlist.read_text().count("#EXTINF") >= 2)
    names = [line for line in playlist.read_text().splitlines() if line.endswith(".ts")]
    for name in names:
        with av.open(str(tmp_path / name)) as file:
            assert next(file.decode(video=0)).key_frame
    live.stop()
    assert "#EXT-X-ENDLIST" in playlist.read_text()
    assert {path.suffix for path in tmp_path.glob("live*")} == {".m3u8", ".ts"}


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_a_transport_stream_is_fetched_by_several(stream: LiveStream, scheme: str) -> None:
    served = sink(stream, f"{scheme}+listen://127.0.0.1:{free_port()}")
    url = served.status.shown.replace("+listen", "") + ("/live.ts" if scheme == "http" else "")
    wait_for(lambda: served.status.pictures)
    for _ in range(2):
        with av.open(url, format="mpegts", timeout=(20, 20)) as file:
            pictures = [f for _, f in zip(range(5), file.decode(video=0), strict=False)]
        assert {(f.width, f.height) for f in pictures} == {(160, 96)}
    served.stop()


def test_udp_and_back(stream: LiveStream, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, keep_warm=True)
    other = LiveStream("other", StyleShelf(packs.tiny_pack(tmp_path)), settings)
    source = open_source(parse_source(f"udp://127.0.0.1:{port}"), other)
    source.start()
    push = sink(stream, f"udp://127.0.0.1:{port}")
    wait_for(lambda: other.stats().frames_in >= 20, "pictures over UDP")
    assert other.stats().size_in == (160, 96)
    push.stop()
    wait_for(lambda: other.stats().state == "paused", "the notice")
    source.stop()
    other.close()


def test_rtmp_comes_back_when_its_server_does(stream: LiveStream, tmp_path: Path) -> None:
    server = RtmpServer("127.0.0.1", 0)
    port, said = server.port, list[str]()
    route = server.route("live", "s3cret")
    push = sink(stream, f"rtmp://127.0.0.1:{port}/live/s3cret", said)
    beside = sink(stream, str(tmp_path / "beside.mkv"))
    pipe = route.wait(60)
    assert pipe is not None
    wait_for(lambda: push.status.pictures > 10)
    server.close()
    wait_for(lambda: push.status.state == "retrying", "its loss")
    server = RtmpServer("127.0.0.1", port)
    route = server.route("live", "s3cret")
    assert route.wait(60) is not None, "it does not come back"
    wait_for(lambda: push.status.connects == 2)
    push.stop()
    beside.stop()
    assert beside.status.connects == 1
    times, _ = played(tmp_path / "beside.mkv")
    assert len(times) == beside.status.pictures
    server.close()
    assert "s3cret" not in "".join(said) + repr(push.status)


def test_a_server_that_takes_nothing_holds_nobody_up(stream: LiveStream, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        dead = sink(stream, f"tcp://127.0.0.1:{server.getsockname()[1]}#bitrate=5M")
        beside = sink(stream, str(tmp_path / "beside.ts"))
        wait_for(lambda: beside.status.pictures >= 60)
        beside.stop()
        assert beside.status.dropped == 0
        dead.stop()


class Full:
    """An output whose disk is full after some pictures, the first time."""

    def __init__(self, left: list[int]) -> None:
        self._left = left

    def begin(self, size: tuple[int, int], fps: float) -> None:
        pass

    def write(self, item: Item) -> None:
        self._left[0] -= 1
        if self._left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


def test_a_full_disk_is_said_once_and_tried_again(stream: LiveStream) -> None:
    said: list[str] = []
    left = [20]
    recording = PacketSink(stream, "show.mp4", lambda: Full(left), say=said.append)
    recording.start()
    wait_for(lambda: recording.status.connects == 2)
    recording.stop()
    assert said == [
        "show.mp4: sending",
        "show.mp4: No space left on device; trying again",
        "show.mp4: sending again",
    ]


def test_sinks_share_one_encoder_and_the_key_frames(stream: LiveStream, tmp_path: Path) -> None:
    sinks = [sink(stream, str(tmp_path / f"{n}.ts")) for n in range(3)]
    wait_for(lambda: all(each.status.pictures >= 70 for each in sinks))
    assert list(stream.stats().bitrate) == ["h264/full"]
    for each in sinks:
        each.stop()
    # One each when they came, coalesced, and one every two seconds for all of them.
    assert stream.stats().key_frames <= 3 + 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("srt://127.0.0.1:9000", "srt-live-transmit"),
        ("/nowhere/at/all/show.mp4", "no folder for 'show.mp4'"),
    ],
)
def test_what_cannot_be_is_said_at_once(stream: LiveStream, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_sink(parse_sink(name), stream)


def test_a_port_in_use_is_said_at_once(stream: LiveStream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"http+listen://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(StreamFXError, match="cannot listen on"):
            open_sink(parse_sink(name), stream)


def test_an_http_push_is_one_endless_request(stream: LiveStream) -> None:
    received, over = bytearray(), Event()

    def take(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            while len(received) < 20_000:
                received.extend(client.recv(65_536))
        over.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=take, args=(server,), daemon=True).start()
        push = sink(stream, f"http://127.0.0.1:{server.getsockname()[1]}/in/live?k=1")
        assert over.wait(60)
        push.stop()
    assert received.startswith(b"POST /in/live?k=1 HTTP/1.1\r\n")
    body = received.split(b"\r\n\r\n", 1)[1]
    assert body.split(b"\r\n", 1)[1][:1] == b"\x47"
