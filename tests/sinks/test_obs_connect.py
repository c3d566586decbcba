"""`streamfx obs connect` against a server double of obs-websocket 5."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("simpleobsws", reason="the extra `obs` is not installed")

import packs
from obs_double import ObsDouble, obs_running
from ports import free_port
from servers import Running, config_of, running
from streamfx import obs as obs_module
from streamfx.cli import main

SMALL = {"size": (160, 96), "enabled": False, "start_bitrate": 300_000}
TOKENS = {"publish": "publish-me", "watch": "watch-me-", "control": "control-me"}


@pytest.fixture
def obs() -> Iterator[ObsDouble]:
    with obs_running(ObsDouble(password="hush-hush")) as double:
        yield double


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pack = packs.tiny_pack(tmp_path_factory.mktemp("pack"))
    listener = f"http+listen://0.0.0.0:{free_port()}"
    with running(config_of(pack.path, live=SMALL, source="demo:", to=[listener])) as found:
        yield found


@pytest.fixture
def connect(
    obs: ObsDouble, server: Running, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The command: its exit code, and what it said last. Later options count."""

    def run(*arguments: object) -> tuple[int, str]:
        options = ["--port", obs.port, "--password", obs.password]
        options += ["--server", f"http://127.0.0.1:{server.port}"]
        code = 0
        try:
            main(["obs", "connect", *map(str, (*options, *arguments))])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        text = said.err if code else said.out
        assert "Traceback" not in text and len(text.splitlines()) == 1, text
        assert "hush-hush" not in text
        return code, text

    return run


def test_a_browser_source_is_added_and_fills_the_scene(
    obs: ObsDouble, server: Running, connect: Any
) -> None:
    assert connect() == (0, "StreamFX demo: added to the scene 'Scene'\n")
    kind, settings = obs.inputs["StreamFX demo"]
    assert (kind, settings) == (
        "browser_source",
        {
            "url": f"http://127.0.0.1:{server.port}/watch/demo?clean=1",
            "reroute_audio": True,
            "width": 1920,
            "height": 1080,
        },
    )
    ((name, transform),) = obs.scenes["Scene"].values()
    assert (name, transform["boundsWidth"], transform["boundsHeight"]) == (
        "StreamFX demo", 1920, 1080,
    )  # fmt: skip


def test_again_it_is_brought_up_to_date_and_not_added_twice(obs: ObsDouble, connect: Any) -> None:
    connect("demo")
    kind, settings = obs.inputs["StreamFX demo"]
    obs.inputs["StreamFX demo"] = (kind, {**settings, "url": "http://old", "css": "mine"})
    assert connect("demo")[1] == "StreamFX demo: brought up to date in the scene 'Scene'\n"
    settings = obs.inputs["StreamFX demo"][1]
    assert settings["url"] != "http://old" and settings["css"] == "mine"
    assert len(obs.scenes["Scene"]) == 1
    assert connect("--scene", "Break")[1] == "StreamFX demo: added to the scene 'Break'\n"
    assert [name for name, _ in obs.scenes["Break"].values()] == ["StreamFX demo"]


def test_a_media_source_of_what_a_sink_serves(
    obs: ObsDouble, server: Running, connect: Any
) -> None:
    shown = server.request("GET", "/api/streams/demo").json["sinks"][0]["sink"]
    assert connect("--media", "--name", "Painted")[0] == 0
    kind, settings = obs.inputs["Painted"]
    port = shown.rpartition(":")[2]
    assert (kind, settings["input"]) == ("ffmpeg_source", f"http://127.0.0.1:{port}/live.ts")
    assert (settings["is_local_file"], settings["input_format"]) == (False, "mpegts")
    assert (settings["buffering_mb"], settings["hw_decode"]) == (0, False)


def test_a_media_source_of_a_url_needs_no_server(obs: ObsDouble, connect: Any) -> None:
    url = "http://127.0.0.1:8554/live.ts"
    assert connect("--server", f"http://127.0.0.1:{free_port()}", "--url", url)[0] == 0
    assert obs.inputs["StreamFX"][1]["input"] == url


def test_without_a_password(connect: Any) -> None:
    with obs_running(ObsDouble()) as open_one:
        assert connect("--port", open_one.port, "--password", "")[0] == 0
        assert list(open_one.inputs) == ["StreamFX demo"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--password", "other"], 2, "WebSocket server is wrong"),
        (["--password", ""], 2, "WebSocket server is missing"),
        (["none"], 2, "no stream 'none' on the air; there are: demo"),
        (["--scene", "none"], 2, "no scene 'none'; it has Scene, Break"),
        (["--server", "127.0.0.1:8080"], 2, "a server is like http://"),
        (["demo", "--url", "http://127.0.0.1:1/live.ts"], 2, "--url stands alone"),
        (["--port", "{free}"], 1, "no OBS answers at 127.0.0.1:{free}"),
        (["--server", "http://127.0.0.1:{free}"], 1, "no StreamFX server answers at"),
        (["--server", "http://127.0.0.1:{obs}"], 1, "refuses with 404"),
        (["--port", "{server}"], 1, "is no obs-websocket 5"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    obs: ObsDouble, server: Running, connect: Any, arguments: list[str], code: int, said: str
) -> None:
    values = {"free": free_port(), "obs": obs.port, "server": server.port}
    found, text = connect(*(argument.format(**values) for argument in arguments))
    assert (found, said.format(**values) in text) == (code, True), text
    assert obs.inputs == {}


def test_a_name_that_something_else_has_is_left_alone(obs: ObsDouble, connect: Any) -> None:
    obs.inputs["StreamFX demo"] = ("image_source", {"file": "logo.png"})
    code, text = connect()
    assert (code, "of another kind" in text) == (2, True)
    assert obs.inputs["StreamFX demo"][1] == {"file": "logo.png"}


def test_an_obs_without_a_browser(obs: ObsDouble, connect: Any) -> None:
    obs.kinds.remove("browser_source")
    assert "no browser_source" in connect()[1]
    assert connect("--media")[0] == 0


def test_an_obs_that_hangs(obs: ObsDouble, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obs_module, "TIMEOUT", 1.0)
    obs.silent.add("CreateInput")
    assert "answers no more" in connect()[1]
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert "no OBS answers" in connect("--port", deaf.getsockname()[1])[1]


def test_the_watch_token_goes_to_the_page(
    tmp_path: Path, obs: ObsDouble, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = packs.tiny_pack(tmp_path)
    with running(config_of(pack.path, live=SMALL, source="demo:", tokens=TOKENS)) as guarded:
        where = ["--server", f"http://127.0.0.1:{guarded.port}"]
        assert "wants its watch token" in connect(*where)[1]
        assert (
            "no sink that OBS could open" in connect(*where, "--media", "--token", "watch-me-")[1]
        )
        monkeypatch.setenv("STREAMFX_SERVER__TOKENS__WATCH", "watch-me-")
        assert connect(*where)[0] == 0
    assert obs.inputs["StreamFX demo"][1]["url"].endswith("/watch/demo?clean=1#watch=watch-me-")


def test_without_the_extra(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simpleobsws", None)
    assert "pip install 'streamfx[obs]'" in connect()[1]
