"""Engine files are whole, known for what they are, or refused with the reason."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamfx.engines.cache import EngineCache, Key
from streamfx.engines.errors import EngineError

KEY = Key(
    backend="tensorrt-rtx",
    version="1.7",
    graph="ab" * 32,
    height=720,
    width=1280,
    batch=1,
    precision="fp16",
    devices=("sm86", "sm89"),
)
PLAN = bytes(range(256)) * 20


def wanted(**changes: object) -> Key:
    return replace(KEY, devices=("sm89",), **changes)  # type: ignore[arg-type]


def test_what_is_stored_is_found_and_read(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "new")
    path = cache.store(KEY, PLAN)
    assert cache.find(wanted()) == path
    assert cache.read(path) == (KEY, PLAN)
    (entry,) = cache.entries()
    assert (entry.key, entry.problem, entry.bytes) == (KEY, "", path.stat().st_size)
    assert cache.store(KEY, PLAN) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half-written is left


def test_the_smallest_batch_that_serves_is_found(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    eight = cache.store(replace(KEY, batch=8), PLAN)
    assert cache.find(wanted()) == eight
    one = cache.store(KEY, PLAN)
    assert cache.find(wanted()) == one
    assert cache.find(wanted(batch=2)) == eight
    with pytest.raises(EngineError, match="no tensorrt-rtx engine for 1280x720 fp16"):
        cache.find(wanted(batch=9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "1.8"}, "out of date: 1.7 built it, this is 1.8"),
        ({"graph": "cd" * 32}, "no tensorrt-rtx engine .* has been built for this graph"),
        ({"height": 1080, "width": 1920}, "no tensorrt-rtx engine for 1920x1080"),
        ({"precision": "bf16"}, "no tensorrt-rtx engine for 1280x720 bf16"),
        ({"backend": "tensorrt"}, "no tensorrt engine"),
    ],
)
def test_another_engine_does_not_stand_in(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, PLAN)
    with pytest.raises(EngineError, match=message):
        cache.find(wanted(**change))


def test_another_device_is_named(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, PLAN)
    with pytest.raises(EngineError, match="was built for sm86, sm89, not sm120"):
        cache.find(replace(KEY, devices=("sm120",)))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_never_read_as_an_engine(data: st.DataObject, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = cache.store(KEY, PLAN)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(EngineError):
        cache.read(path)


@given(garbage=st.binary(max_size=300))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_is_not_an_engine(garbage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.engine"
    for data in (garbage, b"streamfx-engine 1\n" + garbage):
        path.write_bytes(data)
        with pytest.raises(EngineError, match="not an engine file"):
            EngineCache(tmp_path).read(path)
        (entry,) = EngineCache(tmp_path).entries()
        assert entry.key is None
        assert entry.problem


def test_truncation_is_listed_without_reading_the_whole(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = cache.store(KEY, PLAN)
    path.write_bytes(path.read_bytes()[:-1])
    (entry,) = cache.entries()
    assert "cut off" in entry.problem
    with pytest.raises(EngineError, match=f"{len(PLAN) - 1} of {len(PLAN)} bytes"):
        cache.read(path)


def test_those_used_longest_ago_make_room(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, limit=3 * (len(PLAN) + 500))
    paths = [cache.store(replace(KEY, batch=n), PLAN) for n in (1, 2, 3)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    cache.read(paths[0])
    cache.store(replace(KEY, batch=4), PLAN)
    assert [path.exists() for path in paths] == [True, False, True]


def test_clear_removes_engines_and_what_writers_left(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = cache.store(KEY, PLAN)
    (tmp_path / f".{path.name}.12.part").touch()
    (tmp_path / "notes.txt").touch()
    assert cache.clear() == 2
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert EngineCache(tmp_path / "none").clear() == 0


def test_the_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFX_ENGINES", str(tmp_path / "here"))
    assert EngineCache().folder == tmp_path / "here"
    monkeypatch.delenv("STREAMFX_ENGINES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder.name == "engines"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"cannot write .*file"):
        EngineCache(tmp_path / "file" / "engines").store(KEY, PLAN)
