"""The OBS script against a real server; `obspython` itself exists only inside OBS."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

import packs
from servers import Running, config_of, eventually, running

SCRIPT = Path(__file__).parents[2] / "obs" / "streamfx.py"
TOKEN = "control-token"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    packs.tiny_pack(tmp_path)
    config = config_of(
        tmp_path / "tiny.stylepack", tokens={"control": TOKEN}, live={"size": (160, 96)}
    )
    with running(config) as server:
        yield server


@pytest.fixture
def script(server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    obs = MagicMock()
    monkeypatch.setitem(sys.modules, "obspython", obs)
    spec = importlib.util.spec_from_file_location("streamfx_obs_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = {"server": f"http://127.0.0.1:{server.port}/", "token": TOKEN, "source": "demo:"}
    obs.obs_data_get_string.side_effect = lambda data, name: data.get(name, "")
    module.script_update(given)
    module.script_load(given)
    (worker,) = module.workers
    yield module
    module.script_unload()
    assert not worker.is_alive()


def press(script: ModuleType, name: str) -> None:
    """What OBS does at a hot key."""
    calls: Any = script.obs.obs_hotkey_register_frontend.call_args_list
    (task,) = [call.args[2] for call in calls if call.args[0] == name]
    task(True)
    task(False)


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    assert names - set(sys.stdlib_module_names) == {"obspython"}


def test_hot_keys_change_the_stream(script: ModuleType, server: Running) -> None:
    assert next(name for name, _ in script.styles()) == "great-wave"
    script.later(script.start_restyling)
    eventually(script.streams)

    def control() -> Any:
        name = script.streams()[0]
        return server.request("GET", f"/api/streams/{name}", token=TOKEN).json

    press(script, "streamfx_next")
    eventually(lambda: control()["style"] == "starry-night")
    press(script, "streamfx_previous")
    eventually(lambda: control()["style"] == "great-wave")
    press(script, "streamfx_weaker")
    eventually(lambda: control()["strength"] == 0.9)
    press(script, "streamfx_stronger")
    eventually(lambda: control()["strength"] == 1.0)
    press(script, "streamfx_toggle")
    eventually(lambda: control()["enabled"] is False)
    script.later(script.start_restyling)
    eventually(lambda: control()["enabled"] is True)
    script.later(script.stop_restyling)
    eventually(lambda: control()["enabled"] is False)
    script.obs.script_log.assert_not_called()


def test_a_server_that_is_away_is_logged_and_stops_nothing(script: ModuleType) -> None:
    script.settings["server"] = "http://127.0.0.1:9"
    press(script, "streamfx_next")
    eventually(lambda: script.obs.script_log.called)
    assert "Connection refused" in script.obs.script_log.call_args.args[1]
    assert script.script_properties() is not None


def test_the_server_s_own_sentence_is_shown(script: ModuleType) -> None:
    script.settings["token"] = "wrong-token"
    with pytest.raises(OSError, match="token"):
        script.call("POST", "/api/streams", {"source": "demo:"})


def test_the_stream_s_page_is_added_to_the_scene(script: ModuleType) -> None:
    assert script.add_to_scene() is False
    script.settings["stream"] = "evening"
    assert script.add_to_scene() is True
    urls = [
        call.args[2]
        for call in script.obs.obs_data_set_string.call_args_list
        if call.args[1] == "url"
    ]
    assert urls[0].endswith("/watch/evening?clean=1")
