"""Exploring styles over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from servers import Running, config_of, eventually, running
from streamfx.explore import explore
from streamfx.styles import find_pack


@pytest.fixture
def server(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("STREAMFX_PACKS", str(tmp_path))
    with running(config_of(pack)) as found:
        yield found
        found.run(found.hub.close_all)


def preview(server: Running, **query: str) -> Any:
    return server.request("POST", "/api/preview", body=query)


def pixels(answer: Any) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB")).astype(float)


def test_candidates_are_those_of_the_library(server: Running) -> None:
    search = {"like": "great-wave", "seed": 4}
    first = server.request("POST", "/api/explore", body=search).json["styles"]
    assert first == explore("great-wave", seed=4)
    kept = [first[1], first[4]]
    body = {**search, "kept": kept, "generation": 1, "count": 4}
    bred = server.request("POST", "/api/explore", body=body).json["styles"]
    assert bred == explore("great-wave", kept, generation=1, seed=4, count=4)


@pytest.mark.parametrize(
    "body",
    [{"count": 26}, {"seed": -1}, {"like": "image:/etc/passwd"}, {"kept": ["a"] * 17}, {"x": 1}],
)
def test_bad_searches(server: Running, body: dict[str, Any]) -> None:
    assert server.request("POST", "/api/explore", body=body).status == 400


def test_previews_show_the_running_picture(server: Running) -> None:
    plain = preview(server, style="the-harvesters:0+great-wave")
    assert plain.headers["Content-Type"] == "image/jpeg"
    assert pixels(plain).shape == (180, 320, 3)
    assert pixels(preview(server, style="great-wave~7")).mean() != pixels(plain).mean()

    server.request("POST", "/api/streams", body={"id": "show", "source": "demo:"})
    stream = server.hub.entry("show").stream
    eventually(lambda: stream.latest is not None)
    shown = preview(server, style="great-wave", stream="show")
    height, width = stream.latest.y.shape
    assert pixels(shown).shape == (round(320 * height / width), 320, 3)
    assert preview(server, style="great-wave", stream="none").status == 404
    assert preview(server, style="nobody").status == 400
    assert preview(server, style="image:/etc/passwd").status == 400


def test_a_style_is_kept_and_forgotten(server: Running, pack: Path, tmp_path: Path) -> None:
    body = {"name": "my-sea", "style": "great-wave~7:0.5+latent:3:0.5", "title": "My sea"}
    kept = server.request("POST", "/api/styles/kept", body=body)
    assert kept.status == 201 and kept.headers["Location"] == "/api/styles/my-sea"
    assert kept.json["kind"] == "saved" and kept.json["title"] == "My sea"
    assert server.request("POST", "/api/styles/kept", body=body).status == 409
    names = [style["name"] for style in server.request("GET", "/api/styles").json["styles"]]
    assert "my-sea" in names
    code = server.hub.shelf.resolve("my-sea")
    np.testing.assert_allclose(code, server.hub.shelf.resolve(body["style"]), atol=1e-6)
    assert find_pack("mine").style("my-sea").title == "My sea"

    with running(config_of(pack)) as again:
        np.testing.assert_array_equal(again.hub.shelf.resolve("my-sea"), code)
        thumbnail = again.request("GET", "/api/styles/my-sea/thumbnail")
        assert pixels(thumbnail).shape == (180, 320, 3)

    assert server.request("DELETE", "/api/styles/my-sea").status == 204
    assert not (tmp_path / "mine.stylepack").exists()
    assert server.request("DELETE", "/api/styles/great-wave").status == 403


def test_bad_names(server: Running) -> None:
    for name in ("My Sea", "../sea", "", "a" * 65):
        body = {"name": name, "style": "great-wave"}
        assert server.request("POST", "/api/styles/kept", body=body).status == 400
    body = {"name": "great-wave", "style": "latent:1"}
    assert server.request("POST", "/api/styles/kept", body=body).status == 409
