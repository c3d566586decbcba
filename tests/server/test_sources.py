"""What may be named as a source over HTTP, and where FFmpeg may go from there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ports import free_port
from servers import LIVE, config_of, eventually, running
from streamfx.capture.pull import LiveSource
from streamfx.errors import InputError
from streamfx.live.settings import LiveSettings
from streamfx.live.shelf import StyleShelf
from streamfx.live.stream import LiveStream
from streamfx.server.admission import Forbidden
from streamfx.server.config import ServerConfig, masked
from streamfx.server.sources import Admitted, SourcePolicy, trusted
from videos import make_video


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """An allowed folder with a video, and beside it what must stay out of reach."""
    (tmp_path / "outside").mkdir()
    make_video(tmp_path / "outside" / "secret.mp4", frames=5)
    folder = tmp_path / "media"
    (folder / "deep").mkdir(parents=True)
    make_video(folder / "clip.mp4", frames=5)
    make_video(folder / "deep" / "clip2.mkv", frames=5)
    (folder / "link.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    (folder / "way").symlink_to(tmp_path / "outside")
    (folder / "inner.mp4").symlink_to(folder / "clip.mp4")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


def policy(
    *folders: Path, protocols: tuple[str, ...] = (), private: bool = False, **config: Any
) -> SourcePolicy:
    sources = {"folders": folders, "protocols": protocols, "private_addresses": private}
    return SourcePolicy(ServerConfig.model_validate({"sources": sources, **config}))


def test_by_default_only_the_demo_scene() -> None:
    closed = policy()
    assert closed.admit("demo:").endpoint.kind == "demo"
    assert not closed.allows_more_than_demo
    for name in ("/etc/passwd", "clip.mp4", "http://example.org/a.mp4", "rtsp://example.org/1"):
        with pytest.raises(Forbidden):
            closed.admit(name)


def test_what_the_command_line_named_and_nothing_beside_it(media: Path) -> None:
    named = policy(source=str(media / "clip.mp4"))
    assert named.allows_more_than_demo
    assert named.admit(str(media / "clip.mp4")).shown == "clip.mp4"
    for other in (str(media / "inner.mp4"), f"{media}/./clip.mp4", f"file:{media}/clip.mp4"):
        with pytest.raises(Forbidden):
            named.admit(other)


def test_files_in_an_allowed_folder(media: Path) -> None:
    allowed = policy(media)
    for name in ("clip.mp4", "deep/clip2.mkv", str(media / "clip.mp4"), "inner.mp4"):
        found = allowed.admit(name)
        assert Path(found.endpoint.target).is_relative_to(media.resolve())
        assert "/" not in found.shown
        assert found.limits["protocol_whitelist"] == "file"


@pytest.mark.parametrize(
    "name",
    [
        "../outside/secret.mp4",
        "deep/../../outside/secret.mp4",
        "deep/../clip.mp4",
        "link.mp4",
        "way/secret.mp4",
        "{outside}/secret.mp4",
        "{outside}/none.mp4",
        "/etc/passwd",
        "/dev/video0",
        "FILE:///etc/passwd",
        "file:../outside/secret.mp4",
        "http://127.0.0.1/a.mp4",
        "udp://0.0.0.0:5000",
        "rtmp+listen://0.0.0.0:1935/live/key",
        "whep+https://example.org/whep/live",
        "device:0",
        "webcam",
        "screen",
    ],
)
def test_everything_else_is_forbidden(media: Path, name: str) -> None:
    with pytest.raises(Forbidden):
        policy(media).admit(name.format(outside=media.parent / "outside"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 2001,
        "a\0b",
        "a\nb",
        "none.mp4",
        "deep",
        "loop",
        "concat:clip.mp4|/etc/passwd",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "crypto:clip.mp4",
        "async:file:/etc/passwd",
        "pipe:0",
        "data:text/plain,hello",
        "lavfi:testsrc",
        "rtmp://example.org/$HOME/x",
    ],
)
def test_names_that_lead_to_no_file(media: Path, name: str) -> None:
    with pytest.raises(InputError):
        policy(media).admit(name)


@given(st.text(max_size=80))
def test_no_name_leads_out_or_raises_anything_else(name: str) -> None:
    folder = Path(__file__).parent
    try:
        found = policy(folder).admit(name)
    except (Forbidden, InputError):
        return
    endpoint = found.endpoint
    assert endpoint.kind == "demo" or Path(endpoint.target).is_relative_to(folder.resolve())


def test_protocols_are_allowed_one_by_one() -> None:
    some = policy(protocols=("https", "rtsp", "device"), private=True)
    assert some.admit("https://example.org/a.mp4").limits == {"protocol_whitelist": "https,tls,tcp"}
    assert "file" not in some.admit("RTSP://example.org/1").limits["protocol_whitelist"]
    assert some.admit("webcam").endpoint.kind == "device"
    for name in ("http://example.org/a.mp4", "rtmp://example.org/a", "screen"):
        with pytest.raises(Forbidden):
            some.admit(name)
    for name in ("https:a", "httpsx://a"):
        with pytest.raises(InputError):
            some.admit(name)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "[::1]", "10.1.2.3", "169.254.169.254", "0.0.0.0",
     "100.64.0.1", "224.0.0.1", "[::ffff:127.0.0.1]", "me:pass@192.168.0.1"],
)  # fmt: skip
def test_private_addresses_are_allowed_by_themselves(host: str) -> None:
    name = f"http://{host}:81/a.mp4?key=hush"
    with pytest.raises(Forbidden, match="private_addresses") as refused:
        policy(protocols=("http",)).admit(name)
    assert "hush" not in str(refused.value) and "pass" not in str(refused.value)
    assert policy(protocols=("http",), private=True).admit(name).endpoint.target == name


def test_a_public_url_leads_nowhere_else() -> None:
    limits = policy(protocols=("http",)).admit("http://192.0.0.9/a.mp4").limits
    assert limits["max_redirects"] == "0"
    assert "hls" not in limits["format_whitelist"].split(",")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:pass@camera.example:554/1?key=hush", "rtsp://camera.example:554/1"),
        ("https://user@example.org/a.mp4#part", "https://example.org/a.mp4"),
        ("http://[::1/a?key=hush", "http://…"),
        ("rtmp://example.org/live/stream-key", "rtmp://example.org/live/…"),
        ("whip+https://example.org/whip/secret#token=hush", "whip+https://example.org/…"),
        ("demo:", "demo:"),
        ("/films/a.mp4", "/films/a.mp4"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


def ended_by(pack: Path, source: Admitted) -> tuple[object, int]:
    """The error that a source ends by or is tried again for, and how many frames it gave."""
    over = threading.Event()
    errors: list[Exception | None] = []

    def end(error: Exception | None) -> None:
        errors.append(error)
        over.set()

    stream = LiveStream("s", StyleShelf(pack), LiveSettings.model_validate(LIVE))
    try:
        opened = source.open(stream, False, end)
        opened.start()
        eventually(
            lambda: over.is_set() or (isinstance(opened, LiveSource) and opened.status.error)
        )
        opened.stop()
        error = errors[0] if over.is_set() else opened.status.error
        return error, stream.stats().frames_in
    finally:
        stream.close()


class Web(BaseHTTPRequestHandler):
    """Serves files of one folder, and a redirect at /to?URL."""

    folder: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", query)
            self.end_headers()
            return
        body = (self.folder / path.strip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web(folder: Path) -> Iterator[str]:
    handler = type("Handler", (Web,), {"folder": folder})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_redirect_leads_to_no_other_protocol(pack: Path, media: Path) -> None:
    allowed = policy(protocols=("http",), private=True)
    with web(media) as address:
        error, frames = ended_by(pack, allowed.admit(f"{address}/to?{address}/clip.mp4"))
        assert (error, frames) == (None, 5)
        for target in (f"file://{media}/clip.mp4", f"{media}/clip.mp4", "rtmp://127.0.0.1/a"):
            error, frames = ended_by(pack, allowed.admit(f"{address}/to?{target}"))
            assert error is not None and frames == 0


def test_a_playlist_leads_to_no_other_file_and_no_other_protocol(pack: Path, media: Path) -> None:
    secret = media.parent / "outside" / "secret.ts"
    make_video(secret, frames=5)
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n"
    with web(media) as address:
        # What the playlist names can be read by that way: only the policy keeps it out.
        (media / "list.m3u8").write_text(f"{head}{secret}\n#EXT-X-ENDLIST\n")
        assert ended_by(pack, trusted(str(media / "list.m3u8"))) == (None, 5)
        for name in ("list.m3u8", f"{address}/list.m3u8"):
            admitted = policy(media, protocols=("http",), private=True).admit(name)
            error, frames = ended_by(pack, admitted)
            assert error is not None and frames == 0
        (media / "script.mp4").write_text(f"ffconcat version 1.0\nfile '{media}/clip.mp4'\n")
        error, frames = ended_by(pack, policy(media).admit("script.mp4"))
        assert error is not None and frames == 0


def test_a_trusted_file_may_be_relative(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(media)
    found = trusted("clip.mp4")
    assert (found.shown, found.endpoint.target) == ("clip.mp4", str(media.resolve() / "clip.mp4"))


def test_a_source_that_is_away_says_why_and_is_tried_again(pack: Path) -> None:
    sources = {"protocols": ["tcp", "rtmp+listen"], "private_addresses": True}
    with running(config_of(pack, sources=sources, max_streams=3)) as server:

        def post(name: str, source: str) -> Any:
            return server.request("POST", "/api/streams", body={"id": name, "source": source})

        assert post("away", f"tcp://127.0.0.1:{free_port()}").status == 201
        shown = eventually(
            lambda: (s := server.request("GET", "/api/streams/away").json)["source_error"] and s
        )
        assert (shown["state"], "cannot be opened" in shown["source_error"]) == ("waiting", True)
        # Publishers come with a key, which is not shown; somebody else's is taken.
        address = f"rtmp+listen://127.0.0.1:{free_port()}/live/hush"
        made = post("obs", address)
        assert (made.status, made.json["source_error"], b"hush" in made.body) == (201, "", False)
        taken = post("other", address)
        assert (taken.status, "hush" in taken.error) == (409, False)
        assert server.request("GET", "/api/streams/other").status == 404
