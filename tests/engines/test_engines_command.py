"""`streamfx engines` lists, checks and clears what is in the cache, and says what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import packs
from streamfx.cli import main
from streamfx.engines import tensorrt
from streamfx.engines.base import Unavailable
from streamfx.engines.cache import EngineCache, Key, graph_digest
from streamfx.engines.tensorrt import TensorRTBackend


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, on a machine without a GPU."""
    monkeypatch.setenv("STREAMFX_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: Unavailable("no driver", "install one"))
    return tmp_path / "engines"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["engines", *arguments])
    code = ended.value.code
    return code if isinstance(code, int) else int(code is not None)


def stored(graph: bytes = b"graph") -> Path:
    key = Key("tensorrt-rtx", "1.7", graph_digest(graph), 720, 1280, 1, "fp16", ("sm86", "sm89"))
    return EngineCache().store(key, b"plan")


def test_an_empty_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert str(folder) in capsys.readouterr().out
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"engines": [], "choices": []}
    assert run("clear") == 0


def test_engines_are_listed_and_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    path = stored()
    (path.parent / "foreign.engine").write_bytes(b"what is this")
    assert run("list", "--json") == 0
    foreign, mine = json.loads(capsys.readouterr().out)["engines"]
    assert "not an engine file" in foreign["problem"]
    assert (mine["backend"], mine["width"], mine["devices"]) == (
        "tensorrt-rtx",
        1280,
        ["sm86", "sm89"],
    )
    assert mine["problem"] is None
    assert run("list") == 0
    assert "sm86" in capsys.readouterr().out
    assert run("clear") == 0
    assert "2 files removed" in capsys.readouterr().out
    assert not path.exists()


def test_verify_fails_on_a_damaged_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(TensorRTBackend, "installed", lambda _self: "1.7")
    pack = str(packs.tiny_pack(tmp_path).path)
    path = stored()
    assert run("verify", pack) == 0
    assert "whole; not run, for no driver" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-1])
    assert run("verify", pack) == 1
    assert "bad" in capsys.readouterr().out


def test_probe_names_every_back_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["openvino"]["available"]
    assert rows["tensorrt"] == {
        "name": "tensorrt",
        "available": False,
        "reason": "no driver",
        "fix": "install one",
    }
    assert run("probe") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--size", "1280"), 2, "a size is WIDTHxHEIGHT"),
        (("--sm", "8x"), 2, "--sm takes numbers"),
        (("--sm", "90"), 1, "does not build for SM 90"),
        ((), 1, "no GPU to build for (no driver)"),
        (("--backend", "tensorrt"), 1, "no GPU to build for (no driver)"),
        (("--backend", "tensorrt", "--sm", "89"), 1, "leave out --sm"),
        (("--backend", "openvino"), 2, "Invalid value for '--backend'"),
    ],
)
def test_what_cannot_be_built_is_said(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(TensorRTBackend, "installed", lambda _self: "1.7")
    assert run("build", str(packs.tiny_pack(tmp_path).path), *arguments) == code
    assert message in capsys.readouterr().err


def test_the_cpu_is_measured_listed_and_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = str(packs.tiny_pack(tmp_path).path)
    assert run("tune", pack, "--size", "64x48,32x32", "--seconds", "1", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["size"], second["size"]) == ("64x48", "32x32")
    assert first["best"] in first["milliseconds"]
    assert any(name.startswith("onnxruntime fp32") for name in first["milliseconds"])
    assert run("tune", pack, "--size", "32x32", "--backend", "onnxruntime", "--threads", "1") == 0
    assert "onnxruntime fp32, 1 thread" in capsys.readouterr().out
    assert run("list", "--json") == 0
    choices = json.loads(capsys.readouterr().out)["choices"]
    asked = [(each["key"]["width"], each["key"]["backend"]) for each in choices]
    assert asked == [(64, "auto"), (32, "auto"), (32, "onnxruntime")]
    assert run("list") == 0
    assert "64x48" in capsys.readouterr().out
    assert run("clear") == 0
    assert "3 measured choices forgotten" in capsys.readouterr().out
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["choices"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--size", "64"), 2, "a size is WIDTHxHEIGHT"),
        (("--size", "63x64"), 1, "even"),
        (("--backend", "tensorrt"), 2, "Invalid value for '--backend'"),
        (("--backend", "onnxruntime", "--precision", "bf16"), 1, "does not list bf16"),
        (("--threads", "0"), 2, "Invalid value for '--threads'"),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("tune", str(packs.tiny_pack(tmp_path).path), *arguments) == code
    assert message in capsys.readouterr().err


def test_two_engines_are_built_for_each_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    pack = str(packs.tiny_pack(tmp_path).path)
    assert run("build", pack, "--size", "64x48,128x96", "--sm", "75,89") == 0
    printed = [Path(line) for line in capsys.readouterr().out.split()]
    keys = [EngineCache().read(path)[0] for path in printed]
    assert [(key.width, key.height) for key in keys] == [(64, 48), (64, 48), (128, 96), (128, 96)]
    assert len({key.graph for key in keys}) == 2  # of planes, and of NV12
    assert run("verify", pack) == 0
