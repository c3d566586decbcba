"""The HTTP API as a client sees it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import packs
from servers import Running, config_of, eventually, running
from videos import make_video

KEYS = {
    "id", "state", "style", "strength", "enabled", "fade_ms", "audio_delay_ms", "source",
    "source_error", "sinks", "viewers", "stats",
}  # fmt: skip
CONTROLS = ("style", "strength", "enabled", "fade_ms", "audio_delay_ms")


@pytest.fixture(scope="module")
def server(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("media")
    make_video(folder / "clip.mp4", frames=5)
    config = config_of(
        pack,
        max_streams=3,
        sources={"folders": [str(folder)]},
        limits={"json_bytes": 2048, "picture_bytes": 100_000, "picture_pixels": 10_000},
    )
    with running(config) as found:
        yield found


@pytest.fixture(autouse=True)
def tidy(server: Running) -> Iterator[None]:
    yield
    server.run(server.hub.close_all)


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), level: int = 200) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*size[::-1], 3), level, np.uint8)).save(file, kind)
    return file.getvalue()


def upload(server: Running, data: bytes, kind: str = "image/png", query: str = "") -> Any:
    return server.request("POST", f"/api/styles{query}", data=data, headers={"Content-Type": kind})


def test_info_and_health(server: Running) -> None:
    info = server.request("GET", "/api/info").json
    assert info == {
        "version": info["version"],
        "ice_servers": [],
        "tokens": {"publish": False, "watch": False, "control": False},
        "defaults": {"style": "great-wave", "strength": 1.0, "fade_ms": 300},
        "limits": {"picture_bytes": 100_000, "picture_pixels": 10_000},
        "sources": {"demo": True, "allowed": True},
    }
    health = server.request("GET", "/healthz")
    assert health.json == {"status": "ok", "streams": 0, "version": info["version"]}
    assert health.headers["Content-Type"].startswith("application/json")


def test_a_stream_from_its_start_to_its_end(server: Running) -> None:
    assert server.request("GET", "/api/streams").json == {"streams": []}
    body = {"id": "show", "source": "demo:", "style": "starry-night", "strength": 0.25}
    made = server.request("POST", "/api/streams", body=body)
    assert (made.status, made.headers["Location"]) == (201, "/api/streams/show")
    assert made.json.keys() == KEYS
    assert (made.json["style"], made.json["strength"]) == ("starry-night", 0.25)
    assert made.json["source"] == "demo:"
    assert server.request("POST", "/api/streams", body=body).status == 409
    eventually(lambda: server.request("GET", "/api/streams/show").json["stats"]["frames_in"] > 2)
    (listed,) = server.request("GET", "/api/streams").json["streams"]
    assert (listed["id"], listed["state"], listed["viewers"]) == ("show", "live", 0)
    assert listed["stats"]["size_in"] == [640, 360]
    assert listed["stats"]["stages"].keys() >= {"wait", "restyle", "encode"}
    gone = server.request("DELETE", "/api/streams/show")
    assert (gone.status, gone.body) == (204, b"")
    assert server.request("DELETE", "/api/streams/show").status == 404
    assert "no stream 'show'" in server.request("GET", "/api/streams/show").error


def test_control_changes_what_is_named_and_nothing_else(server: Running) -> None:
    server.request("POST", "/api/streams", body={"id": "show", "source": "demo:"})
    before = server.request("GET", "/api/streams/show").json
    changes: list[dict[str, Any]] = [
        {"style": "great-wave:1+starry-night:1"},
        {"strength": 0.5},
        {"enabled": False},
        {"fade_ms": 0},
        {"audio_delay_ms": -2000},
        {},
    ]
    expected = {key: before[key] for key in CONTROLS}
    for change in changes:
        changed = server.request("PATCH", "/api/streams/show", body=change)
        expected |= change
        if "style" in change:
            expected["style"] = "great-wave:0.5+starry-night:0.5"
        assert changed.status == 200
        assert {key: changed.json[key] for key in expected} == expected


@pytest.mark.parametrize(
    "body",
    [
        {"style": "nothing-such"},
        {"style": ""},
        {"style": "image:/etc/passwd"},
        {"style": "a:" + "9" * 3000},
        {"style": 3},
        {"strength": 1.01},
        {"strength": "1"},
        {"strength": True},
        {"enabled": 1},
        {"fade_ms": -1},
        {"fade_ms": 1e99},
        {"fade_ms": 10_001},
        {"audio_delay_ms": 2001},
        {"audio_delay_ms": 0.5},
        {"unknown": 1},
        [],
        None,
        "style",
    ],
)
def test_control_that_cannot_be_used_changes_nothing(server: Running, body: Any) -> None:
    server.request("POST", "/api/streams", body={"id": "show", "source": "demo:"})
    before = server.request("GET", "/api/streams/show").json
    refused = server.request(
        "PATCH",
        "/api/streams/show",
        body=body,
        data=b"null" if body is None else None,
        headers={"Content-Type": "application/json"},
    )
    assert (refused.status, refused.error != "") == (400 if len(str(body)) < 2000 else 413, True)
    after = server.request("GET", "/api/streams/show").json
    assert all(before[key] == after[key] for key in KEYS - {"stats", "state"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"source": ""}, 400),
        ({"source": "demo:", "id": "No"}, 400),
        ({"source": "demo:", "id": "-"}, 400),
        ({"source": "demo:", "id": "x" * 65}, 400),
        ({"source": "demo:", "style": "nothing-such"}, 400),
        ({"source": "demo:", "strength": 2}, 400),
        ({"source": "demo:", "loop": "yes"}, 400),
        ({"source": "none.mp4"}, 400),
        ({"source": "../clip.mp4"}, 403),
        ({"source": "/etc/passwd"}, 403),
        ({"source": "http://127.0.0.1/a.mp4"}, 403),
    ],
)
def test_streams_that_are_not_opened(server: Running, body: Any, status: int) -> None:
    refused = server.request("POST", "/api/streams", body=body)
    assert (refused.status, refused.error != "") == (status, True)
    assert server.hub.entries() == []


def test_a_file_of_the_allowed_folder(server: Running) -> None:
    made = server.request("POST", "/api/streams", body={"source": "clip.mp4", "loop": True})
    assert (made.status, made.json["source"]) == (201, "clip.mp4")
    location = made.headers["Location"]
    assert location == f"/api/streams/{made.json['id']}"
    eventually(lambda: server.request("GET", location).json["stats"]["frames_in"] > 5)


def test_more_streams_than_the_machine_holds(server: Running) -> None:
    for _ in range(3):
        assert server.request("POST", "/api/streams", body={"source": "demo:"}).status == 201
    refused = server.request("POST", "/api/streams", body={"source": "demo:"})
    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    assert "holds 3 streams" in refused.error


def test_bodies_are_bounded_and_of_the_right_type(server: Running) -> None:
    path = "/api/streams/show"
    server.request("POST", "/api/streams", body={"id": "show", "source": "demo:"})
    assert server.request("PATCH", path, body={"style": "x" * 3000}).status == 413
    chunks = (b"[" * 1000 for _ in range(100))
    chunked = server.request(
        "PATCH", path, data=chunks, headers={"Content-Type": "application/json"}
    )
    assert chunked.status == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        sent = server.request("PATCH", path, data=b"{}", headers={"Content-Type": kind})
        assert (sent.status, "application/json" in sent.error) == (415, True)
    for data in (b"", b"{", b"\xff\xfe", b"{}{}", b"[" * 1500, b'{"strength": NaN}'):
        sent = server.request(
            "PATCH", path, data=data, headers={"Content-Type": "application/json"}
        )
        assert sent.status == 400
    zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.request("PATCH", path, data=b"{}", headers=zipped).status == 400


def test_a_hundred_megabytes_are_refused_before_they_are_read(server: Running) -> None:
    for path, kind in (("/api/streams", "application/json"), ("/api/styles", "image/png")):
        connection = server.connect()
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(100 << 20))
        connection.endheaders(b"{")
        assert connection.getresponse().status == 413
        connection.close()


def test_the_pack_s_styles(server: Running) -> None:
    styles = server.request("GET", "/api/styles").json["styles"]
    names = [style["name"] for style in packs.manifest()["styles"]]
    assert [style["name"] for style in styles] == names
    for style in styles:
        assert style["kind"] == "catalogue"
        assert style["thumbnail"] == f"/api/styles/{style['name']}/thumbnail"
        thumbnail = server.request("GET", style["thumbnail"])
        assert (thumbnail.status, thumbnail.headers["Content-Type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(thumbnail.body)).format == "JPEG"
    refused = server.request("DELETE", f"/api/styles/{styles[0]['name']}")
    assert (refused.status, "belongs to the pack" in refused.error) == (403, True)
    assert server.request("GET", "/api/styles/none/thumbnail").status == 404


@pytest.mark.parametrize(("kind", "name"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_a_picture_becomes_a_style(server: Running, kind: str, name: str) -> None:
    made = upload(server, picture(kind), f"image/{name}", "?title=My%20cat")
    assert (made.status, made.json["title"], made.json["kind"]) == (201, "My cat", "picture")
    path = f"/api/styles/{made.json['name']}"
    assert made.headers["Location"] == path
    assert made.json in server.request("GET", "/api/styles").json["styles"]
    thumbnail = server.request("GET", path + "/thumbnail")
    assert Image.open(io.BytesIO(thumbnail.body)).size == (320, 180)
    body = {"id": "show", "source": "demo:", "style": made.json["name"]}
    assert server.request("POST", "/api/streams", body=body).json["style"] == made.json["name"]
    assert server.request("DELETE", path).status == 204
    assert server.request("DELETE", path).status == 404
    assert server.request("PATCH", "/api/streams/show", body={"strength": 0.5}).status == 200


def test_pictures_are_bounded_in_bytes_and_pixels(server: Running) -> None:
    large = upload(server, picture(size=(200, 200)))
    assert (large.status, "megapixels" in large.error) == (413, True)
    heavy = upload(server, picture() + bytes(100_000))
    assert (heavy.status, "bytes" in heavy.error) == (413, True)
    # A bomb: a header that promises more than memory holds, and no data behind it.
    bomb = bytearray(picture())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    assert upload(server, bytes(bomb)).status in (413, 415)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GIF89a nothing", "image/png"),
        (b"", "image/png"),
        (b"<svg/>", "image/svg+xml"),
        (picture("BMP"), "image/bmp"),
        (picture("TIFF"), "image/png"),
        (picture("JPEG"), "image/png"),
        (picture()[:60], "image/png"),
    ],
)
def test_what_is_no_picture(server: Running, data: bytes, kind: str) -> None:
    refused = upload(server, data, kind)
    assert (refused.status, refused.error != "") == (415, True)


def test_queries_are_checked(server: Running) -> None:
    assert upload(server, picture(), query="?title=" + "x" * 201).status == 400
    assert upload(server, picture(), query="?nothing=1").status == 400
    assert server.request("GET", "/api/events?stream=No").status == 400


def test_paths_and_methods_that_are_not_there(server: Running) -> None:
    for path in ("/api", "/api/streams/No", "/api/streams/" + "x" * 65, "/nothing", "/studio/"):
        refused = server.request("GET", path)
        assert (refused.status, refused.error != "") == (404, True)
    for method, path in (("PUT", "/api/streams"), ("POST", "/api/info"), ("DELETE", "/")):
        refused = server.request(method, path)
        assert (refused.status, method in refused.error) == (405, True)
        assert "GET" in refused.headers["Allow"]


def test_an_error_that_nobody_foresaw_is_said_without_its_text(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("the password is hush")

    monkeypatch.setattr(server.hub, "entries", fail)
    failed = server.request("GET", "/api/streams")
    assert (failed.status, "hush" in failed.error) == (500, False)
    assert "hush" in caplog.text
    monkeypatch.undo()


def test_uploads_at_a_time_are_bounded(server: Running) -> None:
    waiting = []
    for _ in range(4):
        connection = server.connect()
        connection.putrequest("POST", "/api/styles")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", "9999")
        connection.endheaders(b"x")
        waiting.append(connection)
    deadline = time.monotonic() + 20
    while (refused := upload(server, picture())).status == 201:
        assert time.monotonic() < deadline
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    for connection in waiting:
        connection.close()
    eventually(lambda: upload(server, picture()).status == 201)
