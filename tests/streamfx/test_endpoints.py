"""The grammar of sources and sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.endpoints import (
    Endpoint,
    listening_address,
    parse_sink,
    parse_source,
    stream_key,
)
from streamfx.errors import InputError

ENVIRON = {"KEY": "live_s3cret", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("demo:", "demo", ""),
        ("webcam", "device", ""),
        ("device:1", "device", "1"),
        ("device:/dev/video4", "device", "/dev/video4"),
        ("device:HD Webcam", "device", "HD Webcam"),
        ("screen", "screen", ""),
        ("screen:1", "screen", "1"),
        ("rtmp://host/app/name", "rtmp", "rtmp://host/app/name"),
        ("RTMPS://host/app/name", "rtmp", "rtmps://host/app/name"),
        ("rtmp+listen://0.0.0.0:1936/live/$KEY", "rtmp-listen", None),
        ("rtsp://user:word@host/x", "rtsp", "rtsp://user:word@host/x"),
        ("srt://host:9000", "srt", "srt://host:9000"),
        ("udp://239.0.0.1:1234", "udp", "udp://239.0.0.1:1234"),
        ("tcp://host:1234", "tcp", "tcp://host:1234"),
        ("https://host/live.m3u8?t=1", "http", "https://host/live.m3u8?t=1"),
        ("whep+https://host/whep/live", "whep", "https://host/whep/live"),
        ("clip.mp4", "file", "clip.mp4"),
        ("a # b?.mp4", "file", "a # b?.mp4"),
        ("C:\\clips\\a.mp4", "file", "C:\\clips\\a.mp4"),
        ("file:12:30.mp4#loop", "file", "12:30.mp4"),
        ("file:///tmp/a.mp4", "file", "/tmp/a.mp4"),
    ],
)
def test_sources(text: str, kind: str, target: str | None) -> None:
    endpoint = parse_source(text, ENVIRON)
    assert endpoint.kind == kind
    assert target is None or endpoint.target == target


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("camera:", "camera", ""),
        ("camera:/dev/video10#size=1280x720&fps=25&mirror", "camera", "/dev/video10"),
        ("rtmp://live.twitch.tv/app/${KEY}", "rtmp", "rtmp://live.twitch.tv/app/live_s3cret"),
        ("rtmps://a.rtmp.youtube.com/live2/x?backup=1", "rtmp", None),
        ("udp://127.0.0.1:9000", "udp", "udp://127.0.0.1:9000"),
        ("tcp+listen://:9000", "tcp-listen", "tcp://:9000"),
        ("http+listen://0.0.0.0:8081/live.ts", "http-listen", "http://0.0.0.0:8081/live.ts"),
        ("https://host/ingest", "http", "https://host/ingest"),
        ("whip+https://host/whip/live#token=$KEY", "whip", "https://host/whip/live"),
        ("out/show.MP4", "file", "out/show.MP4"),
        ("file:show.mkv#segment=600", "file", "show.mkv"),
        ("www/live.m3u8", "hls", "www/live.m3u8"),
    ],
)
def test_sinks(text: str, kind: str, target: str | None) -> None:
    endpoint = parse_sink(text, ENVIRON)
    assert endpoint.kind == kind
    assert target is None or endpoint.target == target


@pytest.mark.parametrize(
    "text",
    [
        "rtmp://live.twitch.tv/app/live_s3cret",
        "rtmp://live.twitch.tv/app/$KEY",
        "rtmp://user:live_s3cret@host/app/live_s3cret?auth=live_s3cret",
        "whip+https://host/live_s3cret/webRTC/publish",
        "whip+https://host/whip#token=live_s3cret",
        "https://host/x?key=live_s3cret",
        "/home/live_s3cret/show.mp4",
    ],
)
def test_no_secret_is_shown(text: str) -> None:
    endpoint = parse_sink(text, ENVIRON)
    assert "s3cret" not in str(endpoint) + repr(endpoint)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_source, "", "a source is a path"),
        (parse_source, "x\n", "printable"),
        (parse_source, "a" * 2001, "at most 2000"),
        (parse_source, "camera:", "camera: is a sink, not a source"),
        (parse_sink, "device:0", "device: is a source, not a sink"),
        (parse_source, "gopher://x/", "gopher: is no kind of source"),
        (parse_sink, "show.avi", "a recording's name ends in .mp4"),
        (parse_sink, "rtmp://host/key", "ends in /APP/KEY"),
        (parse_sink, "rtmp:///app/key", "is like rtmp://HOST/APP/KEY"),
        (parse_sink, "udp://host", "needs a port"),
        (parse_sink, "tcp://[::1:9", "cannot be read"),
        (parse_sink, "udp://host:99999", "cannot be read"),
        (parse_sink, "rtmp://host/app/$NONE", "no variable NONE"),
        (parse_sink, "rtmp://host/app/$EMPTY", "no variable EMPTY"),
        (parse_sink, "camera:#size=1281x720", "even sides"),
        (parse_sink, "camera:#size=9x9", "even sides"),
        (parse_sink, "camera:#fps=0", "from 1 to 120"),
        (parse_sink, "camera:#mirror=1", "takes no value"),
        (parse_sink, "camera:#fps", "takes a value"),
        (parse_sink, "camera:#fps=3&fps=4", "twice"),
        (parse_sink, "camera:#colour=red", "no option 'colour'"),
        (parse_sink, "udp://h:1#bitrate=fast", "like 2500k"),
        (parse_sink, "udp://h:1#bitrate=900M", "from 50k to 50M"),
        (parse_source, "screen:left", "a screen has a number"),
        (parse_source, "demo:x", "stands alone"),
        (parse_source, "/", "names no file"),
    ],
)
def test_what_is_wrong_is_said(
    parse: Callable[[str, Mapping[str, str]], Endpoint], text: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, ENVIRON)
    assert message in str(caught.value)


def test_variables_are_not_read_for_others() -> None:
    with pytest.raises(InputError, match="not read here"):
        parse_sink("rtmp://host/app/$KEY")
    with pytest.raises(InputError, match="not read here"):
        parse_source("whep+https://host/x#token=$KEY")


def test_options_have_types() -> None:
    endpoint = parse_sink("camera:#size=640x480&fps=29.97&bitrate=4.5M&mirror")
    assert (endpoint.size, endpoint.fps, endpoint.bitrate) == ((640, 480), 29.97, 4_500_000)
    assert "mirror" in endpoint.options
    plain = parse_sink("camera:")
    assert (plain.size, plain.fps, plain.bitrate) == (None, None, None)


def test_keys_and_addresses() -> None:
    assert stream_key(parse_sink("rtmp://h/live2/a-b?backup=1")) == ("live2", "a-b?backup=1")
    assert stream_key(parse_source("rtmp+listen:///live/inst/k")) == ("live/inst", "k")
    assert listening_address(parse_source("rtmp+listen:///live/k")) == ("127.0.0.1", 1935)
    assert listening_address(parse_sink("tcp+listen://[::]:80"), 5) == ("::", 80)
    with pytest.raises(InputError, match="needs an IP address"):
        listening_address(parse_source("rtmp+listen://example.org/live/k"))


@given(st.text(), st.booleans())
def test_any_text_is_read_or_refused(text: str, source: bool) -> None:
    try:
        endpoint = (parse_source if source else parse_sink)(text, ENVIRON)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(endpoint, Endpoint)
        assert endpoint.kind
        # What was read has options that are in range.
        assert endpoint.fps is None or 1 <= endpoint.fps <= 120


@given(
    st.sampled_from(["rtmp", "rtmps", "rtmp+listen"]),
    st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True),
    st.from_regex(r"KEY[A-Za-z0-9_-]{8,30}", fullmatch=True),
)
def test_a_key_is_kept_and_never_shown(scheme: str, app: str, key: str) -> None:
    parse = parse_source if scheme.endswith("listen") else parse_sink
    endpoint = parse(f"{scheme}://127.0.0.1/{app}/{key}")
    assert stream_key(endpoint) == (app, key)
    assert key not in f"{endpoint} {endpoint!r}"
