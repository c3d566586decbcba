"""Where the server's configuration comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamfx.errors import InputError
from streamfx.server.config import ServerConfig, load_config

TOKENS = {"publish": "publish-me", "watch": "watch-me-", "control": "control-me"}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(file: Path | None = None, **flags: Any) -> str:
    with pytest.raises(InputError) as error:
        load_config(file, flags)
    said = str(error.value)
    assert "\n" not in said
    return said


def test_the_defaults_reach_nobody_else() -> None:
    config = load_config()
    assert config == ServerConfig()
    assert config.is_loopback
    assert config.ice_servers == ()
    assert (config.sources.protocols, config.sources.folders) == ((), ())
    assert config.max_streams >= 2


def test_flags_over_environment_over_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streamfx.toml").write_text(
        "[server]\nport = 1\nmax_viewers = 1\nmax_streams = 1\n[server.live]\nfade_ms = 1\n"
        'strength = 0.1\n[[server.ice_servers]]\nurls = ["stun:stun.example:3478"]\n'
    )
    monkeypatch.setenv("STREAMFX_SERVER__PORT", "2")
    monkeypatch.setenv("STREAMFX_SERVER__MAX_VIEWERS", "2")
    monkeypatch.setenv("STREAMFX_SERVER__LIVE__FADE_MS", "2")
    monkeypatch.setenv("STREAMFX_SERVER__SOURCES__PROTOCOLS", '["rtsp"]')
    monkeypatch.setenv("STREAMFX_SERVER__TOKENS__PUBLISH", TOKENS["publish"])
    monkeypatch.setenv("STREAMFX_PACKS", "/elsewhere")  # not the server's, and no mistake
    config = load_config(None, {"port": 3, "tokens": {"control": TOKENS["control"]}})
    assert (config.port, config.max_viewers, config.max_streams) == (3, 2, 1)
    assert (config.live.fade_ms, config.live.strength) == (2, 0.1)
    assert config.sources.protocols == ("rtsp",)
    assert config.ice_servers[0].urls == ["stun:stun.example:3478"]
    assert config.tokens.publish is not None and config.tokens.control is not None
    assert config.tokens.publish.get_secret_value() == TOKENS["publish"]


def test_a_file_that_was_named_counts_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "streamfx.toml").write_text("[server]\nport = 1\n")
    (tmp_path / "other.toml").write_text("[server]\nport = 2\n")
    assert load_config(tmp_path / "other.toml").port == 2
    assert "there is no configuration file" in refusal(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server\n", "is not TOML"),
        ("[server]\nprot = 1\n", "wrong at prot"),
        ("[server.tokens]\nsecret = 'abcdefgh'\n", "wrong at tokens.secret"),
        ("[sever]\nport = 1\n", "Extra inputs"),
        ("[server]\nport = 70000\n", "wrong at port"),
        ("[server]\nmax_streams = 0\n", "wrong at max_streams"),
        ("[server.live]\nstrength = 2\n", "wrong at live.strength"),
        ("[server.sources]\nprotocols = ['file']\n", "wrong at sources.protocols.0"),
        ("[[server.ice_servers]]\nurls = ['http://x']\n", "wrong at ice_servers.0.urls.0"),
        ("[server]\nhost = 'a b'\n", "wrong at host"),
        ("[server]\ncors_origins = ['*']\n", "wrong at cors_origins.0"),
    ],
)
def test_what_is_wrong_is_refused_and_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "streamfx.toml").write_text(text)
    assert said in refusal()


def test_a_variable_that_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFX_SERVER__ICE_SERVERS", "stun:stun.example")
    assert "environment" in refusal()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "studio.example"])
def test_a_public_address_wants_all_tokens_or_insecure(host: str) -> None:
    assert "publish, watch, control" in refusal(host=host)
    for lacking in TOKENS:
        some = {name: token for name, token in TOKENS.items() if name != lacking}
        assert f"a token for {lacking}: " in refusal(host=host, tokens=some)
    assert load_config(None, {"host": host, "tokens": TOKENS}).host == host
    assert load_config(None, {"host": host, "insecure": True}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_wants_no_token(host: str) -> None:
    assert load_config(None, {"host": host}).is_loopback


@pytest.mark.parametrize("token", ["short", "with a space", "new\nline-token", "ü" * 9, "x" * 513])
def test_a_token_must_fit_into_a_header(token: str) -> None:
    said = refusal(tokens={"watch": token})
    assert "wrong at tokens.watch" in said
    assert token not in said


def test_secrets_are_not_printed() -> None:
    config = load_config(
        None,
        {
            "tokens": TOKENS,
            "ice_servers": [{"urls": ["turn:t.example"], "username": "u", "credential": "hush"}],
            "source": "rtsp://me:pass@camera.example/1?key=hidden",
            "to": ["rtmps://live.example/app/hidden", "whip+https://sfu.example/hidden#token=hush"],
            "streams": {"evening": {"sinks": ["udp://pass@192.0.2.7:9000"]}},
        },
    )
    for text in (config.model_dump_json(), repr(config.tokens), repr(config.ice_servers)):
        assert not any(secret in text for secret in (*TOKENS.values(), "hush", "pass", "hidden"))
    assert "rtsp://camera.example/1" in config.model_dump_json()
    assert "rtmps://live.example/app/…" in config.model_dump_json()
    assert config.source == "rtsp://me:pass@camera.example/1?key=hidden"


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({"cert": "a.pem"}, "come together"),
        ({"key": "a.pem"}, "come together"),
        ({"cert": "a.pem", "key": "b.pem", "self_signed": True}, "not both"),
    ],
)
def test_tls_comes_one_way(tls: dict[str, Any], said: str) -> None:
    assert said in refusal(tls=tls)
