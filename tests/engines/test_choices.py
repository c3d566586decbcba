"""What was measured is remembered for just that machine, graph and size, and nothing else is."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphs
from streamfx import engines
from streamfx.engines.base import EngineOptions
from streamfx.engines.choices import (
    FILE,
    Choice,
    ChoiceMemory,
    Key,
    Remembered,
    key_for,
    remembered,
)
from streamfx.engines.errors import EngineError
from streamfx.engines.openvino import OpenVINOEngine, Placement

GRAPH = graphs.generator().SerializeToString()
SIZE = (34, 50)
KEY = Key("a CPU", 2, ("openvino 1",), "ab12", 720, 1280, 1, "auto", "auto", None)
CHOICE = Choice("openvino", "bf16", 2, Placement(pinning=False))
FOUND = Remembered(KEY, CHOICE, 11.5, 12.5)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChoiceMemory:
    monkeypatch.setenv("STREAMFX_ENGINES", str(tmp_path / "engines"))
    return ChoiceMemory()


def remember(memory: ChoiceMemory, choice: Choice, backend: str = "auto") -> None:
    key = key_for(GRAPH, SIZE, backend=backend, batch=1, options=EngineOptions())
    memory.store(Remembered(key, choice, 1.0, 2.0))


def test_a_choice_comes_back_whole(memory: ChoiceMemory) -> None:
    assert memory.all() == ()
    memory.store(FOUND)
    assert memory.all() == (FOUND,)
    assert memory.find(KEY) == CHOICE
    assert [path.name for path in memory.path.parent.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "other",
    [
        {"cpu": "another"},
        {"cores": 4},
        {"versions": ("openvino 2",)},
        {"graph": "cd34"},
        {"height": 1080},
        {"width": 1920},
        {"batch": 2},
        {"backend": "openvino"},
        {"precision": "fp32"},
        {"threads": 2},
    ],
)
def test_it_holds_for_its_key_alone(memory: ChoiceMemory, other: dict[str, object]) -> None:
    memory.store(FOUND)
    assert memory.find(replace(KEY, **other)) is None  # type: ignore[arg-type]


def test_a_new_choice_takes_the_place_of_the_old(memory: ChoiceMemory) -> None:
    memory.store(FOUND)
    memory.store(replace(FOUND, choice=replace(CHOICE, threads=1)))
    assert [each.choice.threads for each in memory.all()] == [1]


def test_the_oldest_go_first(memory: ChoiceMemory) -> None:
    small = ChoiceMemory(limit=3)
    for width in (2, 4, 6, 8):
        small.store(replace(FOUND, key=replace(KEY, width=width)))
    small.store(replace(FOUND, key=replace(KEY, width=4)))
    assert [each.key.width for each in memory.all()] == [6, 8, 4]


def without(*names: str) -> bytes:
    """A file of a choice that lacks something, or says something impossible."""
    stored = json.loads(STORED)
    del stored["choices"][0]["key"][names[0]]
    return json.dumps(stored).encode()


def told(part: str, name: str, value: object) -> bytes:
    stored = json.loads(STORED)
    stored["choices"][0][part][name] = value
    return json.dumps(stored).encode()


STORED = json.dumps(
    {
        "format": "streamfx-cpu-choices 1",
        "choices": [
            {
                "key": vars(KEY),
                "choice": {"backend": "openvino", "precision": "bf16", "threads": 2},
                "milliseconds": 1.0,
                "default_milliseconds": 2.0,
            }
        ],
    }
)


def test_the_file_that_the_bad_ones_are_made_of_is_good(memory: ChoiceMemory) -> None:
    memory.path.parent.mkdir()
    memory.path.write_text(STORED)
    assert memory.find(KEY) == Choice("openvino", "bf16", 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00garbage",
        STORED[:-9].encode(),
        STORED.replace("choices 1", "choices 2").encode(),
        b'{"format": "another program\'s"}',
        b"[]",
        without("graph"),
        told("choice", "backend", "tensorrt"),
        told("choice", "precision", "int4"),
        told("choice", "threads", 0),
        told("choice", "threads", 10**9),
        told("choice", "placement", {"pinning": "perhaps"}),
        b" " * (2 << 20),
    ],
)
def test_a_bad_file_is_ignored_and_made_again(
    memory: ChoiceMemory, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    memory.path.parent.mkdir()
    memory.path.write_bytes(data)
    assert memory.all() == ()
    assert "nothing is taken from it" in caplog.text
    engines.load(GRAPH, SIZE).close()
    memory.store(FOUND)
    assert memory.all() == (FOUND,)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_garbage_never_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    memory = ChoiceMemory(tmp_path_factory.mktemp("engines"))
    memory.path.write_bytes(data)
    assert memory.all() == ()


def test_what_cannot_be_written_or_read_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="cannot write"):
        ChoiceMemory(tmp_path / "file").store(FOUND)
    memory = ChoiceMemory(tmp_path)
    memory.path.mkdir()
    assert memory.all() == ()
    assert "cannot read" in caplog.text


def test_choices_are_forgotten(memory: ChoiceMemory) -> None:
    assert memory.clear() == 0
    memory.store(FOUND)
    assert memory.clear() == 1
    assert memory.all() == ()


def test_words() -> None:
    assert str(CHOICE) == "openvino bf16, 2 threads, not pinned"
    assert str(Choice("onnxruntime", "fp32", 1)) == "onnxruntime fp32, 1 thread"
    placement = Placement(pinning=True, hyper_threading=False, fast_cores_only=True)
    assert str(placement) == "pinned, one thread a core, fast cores only"


def test_auto_takes_what_was_measured(memory: ChoiceMemory) -> None:
    remember(memory, Choice("onnxruntime", "fp32", 1))
    info = engines.load(GRAPH, SIZE).info
    assert (info.backend, info.precision, info.threads) == ("onnxruntime", "fp32", 1)
    assert remembered(GRAPH, SIZE, backend="auto", batch=1, options=EngineOptions())


@pytest.mark.parametrize(
    ("size", "backend", "options"),
    [
        ((34, 52), "auto", EngineOptions()),
        (SIZE, "openvino", EngineOptions()),
        (SIZE, "auto", EngineOptions(precision="fp32")),
        (SIZE, "auto", EngineOptions(threads=2)),
    ],
)
def test_what_was_asked_for_otherwise_is_not_touched(
    memory: ChoiceMemory, size: tuple[int, int], backend: str, options: EngineOptions
) -> None:
    remember(memory, Choice("onnxruntime", "fp32", 1))
    info = engines.load(GRAPH, size, backend=backend, options=options).info
    assert info.backend == "openvino"
    assert info.threads == options.thread_count()
    if options.precision != "auto":
        assert info.precision == options.precision


def test_a_named_back_end_has_its_own_choice(memory: ChoiceMemory) -> None:
    remember(memory, Choice("openvino", "fp32", 1, Placement(pinning=False)), "openvino")
    engine = engines.load(GRAPH, SIZE, backend="openvino")
    assert isinstance(engine, OpenVINOEngine)
    assert (engine.info.precision, engine.info.threads) == ("fp32", 1)
    compiled = engine._request.get_compiled_model()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_every_placement_runs() -> None:
    for placement in (
        Placement(pinning=True),
        Placement(hyper_threading=True),
        Placement(hyper_threading=False),
        Placement(fast_cores_only=True),
    ):
        Choice("openvino", "fp32", 1, placement).load(GRAPH, size=SIZE).close()


def test_a_choice_that_fails_gives_way_to_the_default(
    memory: ChoiceMemory, caplog: pytest.LogCaptureFixture
) -> None:
    remember(memory, Choice("onnxruntime", "bf16", 1))
    with caplog.at_level(logging.WARNING):
        assert engines.load(GRAPH, SIZE).info.backend == "openvino"
    assert "is left out: onnxruntime on CPU does not list bf16" in caplog.text
