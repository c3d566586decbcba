"""RTMP: its bytes, and publishers that come to a listener."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.errors import StreamFXError
from streamfx.rtmp import amf
from streamfx.rtmp.chunks import (
    AUDIO,
    SET_CHUNK_SIZE,
    VIDEO,
    ChunkError,
    ChunkReader,
    ChunkWriter,
    Message,
)
from streamfx.rtmp.client import Refused, RtmpPublisher
from streamfx.rtmp.flv import HEADER, TagReader, tag
from streamfx.rtmp.server import RtmpServer
from watching import wait_for

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=9), inner)
    ),
    max_leaves=12,
)
MESSAGES = st.builds(
    Message,
    kind=st.sampled_from([AUDIO, VIDEO]),
    payload=st.binary(min_size=1, max_size=700),
    timestamp=st.integers(0, 2**32 - 1),
    stream=st.integers(0, 5),
    channel=st.sampled_from([3, 63, 64, 319, 320, 65599]),
)


@given(st.lists(VALUES, max_size=5))
def test_amf_comes_back(values: list[amf.Value]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(st.binary(max_size=200))
def test_amf_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(amf.AmfError):
        amf.decode(data)


def test_amf_is_bounded() -> None:
    with pytest.raises(amf.AmfError):
        amf.decode(b"\x0a\x00\x00\x00\x01" * 1000)
    with pytest.raises(amf.AmfError):
        amf.decode(b"\x0a\xff\xff\xff\xff")


@given(st.lists(MESSAGES, max_size=6), st.integers(1, 300), st.integers(1, 500))
def test_chunks_come_back(messages: list[Message], size: int, piece: int) -> None:
    writer, reader = ChunkWriter(), ChunkReader()
    head = Message(SET_CHUNK_SIZE, size.to_bytes(4, "big"), channel=2)
    data = b"".join(map(writer.write, [head, *messages]))
    read = [m for at in range(0, len(data), piece) for m in reader.push(data[at : at + piece])]
    assert read == [head, *messages]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_are_chunks_or_refused(parts: list[bytes]) -> None:
    reader = ChunkReader()
    try:
        for part in parts:
            reader.push(part)
    except ChunkError:
        pass


def test_short_headers_repeat_what_went_before() -> None:
    reader = ChunkReader()
    full = b"\x04" + (100).to_bytes(3, "big") + (2).to_bytes(3, "big") + b"\x08" + b"\1\0\0\0"
    (first,) = reader.push(full + b"ab")
    (second,) = reader.push(b"\x44" + (20).to_bytes(3, "big") + (3).to_bytes(3, "big") + b"\x09cde")
    (third,) = reader.push(b"\x84" + (5).to_bytes(3, "big") + b"fgh")
    (fourth,) = reader.push(b"\xc4ijk")
    assert [m.timestamp for m in (first, second, third, fourth)] == [100, 120, 125, 130]
    assert [m.payload for m in (first, second, third, fourth)] == [b"ab", b"cde", b"fgh", b"ijk"]
    assert {m.stream for m in (first, second, third, fourth)} == {1}


def test_a_message_cannot_take_all_memory() -> None:
    head = b"\x04" + bytes(3) + (0xFFFFFF).to_bytes(3, "big") + b"\x09\1\0\0\0"
    with pytest.raises(ChunkError, match="too large"):
        ChunkReader().push(head)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 400))
def test_tags_come_back(messages: list[Message], piece: int) -> None:
    data = HEADER + b"".join(map(tag, messages))
    reader = TagReader()
    read = [m for at in range(0, len(data), piece) for m in reader.push(data[at : at + piece])]
    assert [(m.kind, m.payload, m.timestamp) for m in read] == [
        (m.kind, m.payload, m.timestamp) for m in messages
    ]


@pytest.fixture
def server() -> Iterator[RtmpServer]:
    server = RtmpServer("127.0.0.1", 0)
    yield server
    server.close()


def publisher(server: RtmpServer, app: str, key: str) -> RtmpPublisher:
    return RtmpPublisher(urlsplit(f"rtmp://127.0.0.1:{server.port}"), app, key, 10)


def test_each_publisher_goes_where_its_key_leads(server: RtmpServer) -> None:
    routes = {key: server.route("live", key) for key in ("one", "two")}
    sending = {key: publisher(server, "live", key) for key in routes}
    for key, client in sending.items():
        client.send(Message(VIDEO, key.encode() * 3000, 5, channel=6))
    for key, route in routes.items():
        pipe = route.wait(10)
        assert pipe is not None
        data = b""
        while len(data) < 9000:
            data += pipe.read(4096)
        (got,) = TagReader().push(data)
        assert (got.payload, got.timestamp) == (key.encode() * 3000, 5)
    for client in sending.values():
        client.close()


@pytest.mark.parametrize(
    ("app", "key"), [("live", "wrong"), ("live", ""), ("other", "key"), ("live", "key2")]
)
def test_a_wrong_key_is_refused(server: RtmpServer, app: str, key: str) -> None:
    route = server.route("live", "key")
    with pytest.raises(Refused, match="BadName"):
        publisher(server, app, key)
    assert route.wait(0) is None


def test_the_second_publisher_on_a_key_is_refused_until_the_first_leaves(
    server: RtmpServer,
) -> None:
    route = server.route("live", "key")
    first = publisher(server, "live", "key")
    assert route.wait(10) is not None
    with pytest.raises(Refused):
        publisher(server, "live", "key")
    first.close()

    def comes() -> RtmpPublisher | None:
        try:
            return publisher(server, "live", "key")
        except StreamFXError:
            return None

    again: list[RtmpPublisher] = []
    wait_for(lambda: again or again.extend(filter(None, [comes()])))
    assert route.wait(10) is not None
    again[0].close()


def test_two_sources_cannot_have_one_key(server: RtmpServer) -> None:
    server.route("live", "key")
    with pytest.raises(StreamFXError, match="share one key"):
        server.route("live", "key")


def test_a_port_in_use_is_said(server: RtmpServer) -> None:
    with pytest.raises(StreamFXError, match="cannot listen for RTMP"):
        RtmpServer("127.0.0.1", server.port)


@pytest.mark.parametrize("key", ["key", "wrong"])
def test_ffmpeg_publishes(server: RtmpServer, key: str) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    route = server.route("live", "key")
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1"]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-f", "flv"]
    url = f"rtmp://127.0.0.1:{server.port}/live/{key}"
    command = [ffmpeg, "-loglevel", "error", *source, *code, url]
    done = subprocess.run(command, timeout=60, capture_output=True, check=False)
    pipe = route.wait(0)
    assert (done.returncode == 0) == (key == "key") == (pipe is not None)
    if pipe is not None:
        data = b""
        while part := pipe.read(1 << 16):
            data += part
        pictures = [m for m in TagReader().push(data) if m.kind == VIDEO]
        assert len(pictures) >= 11  # ten and the configuration
