"""Style packs: written and read back, and every way in which a pack can be bad."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphs
import packs
from streamfx.engines.contract import GraphSpec
from streamfx.errors import InputError
from streamfx.styles import Pack, find_pack, write_pack


def raw_pack(
    path: Path,
    change: Callable[[dict[str, Any], dict[str, bytes]], None] = lambda *_: None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A pack written without any check; `change` edits manifest and members first."""
    contents = packs.members()
    manifest = {**packs.manifest(), "format": 1}
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in contents.items()
    }
    change(manifest, contents)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def listed(manifest: dict[str, Any], contents: dict[str, bytes], name: str, data: bytes) -> None:
    """Put a member into the pack as its maker would."""
    contents[name] = data
    manifest["members"][name] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }


def test_round_trip(tmp_path: Path) -> None:
    written = packs.tiny_pack(tmp_path)
    pack = Pack.open(written.path)
    assert pack == written
    assert pack.name == "tiny"
    assert [style.name for style in pack.styles] == ["great-wave", "starry-night", "the-harvesters"]
    style = pack.style("starry-night")
    assert (style.author, style.year, style.title) == ("A. Painter", "1831", "Starry Night")
    np.testing.assert_array_equal(style.vector, np.array([0, 1, 0, 0], np.float32))
    assert style.thumbnail is not None
    assert pack.read(style.thumbnail) == packs.members()[style.thumbnail]
    assert pack.generator == packs.members()["generator.onnx"]
    assert pack.manifest.network.spec == graphs.SPEC
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.stylepack"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = packs.tiny_pack(tmp_path).path.read_bytes()
    turned = dict(reversed(packs.members().items()))
    assert write_pack(tmp_path / "b.stylepack", packs.manifest(), turned).path.read_bytes() == first


def test_compressed_packs_and_training_networks_are_read(tmp_path: Path) -> None:
    def change(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
        listed(manifest, contents, "training/generator.safetensors", b"\1\2\3")

    pack = Pack.open(raw_pack(tmp_path / "a.stylepack", change, zipfile.ZIP_DEFLATED))
    assert pack.read("training/generator.safetensors") == b"\1\2\3"


def test_encode(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (255, 51, 0)  # only the middle square counts
    np.testing.assert_allclose(pack.encode(wide), [1, 0.2, 0, 0], atol=1e-4)
    without = packs.members()
    del without["style_encoder.onnx"]
    plain = write_pack(tmp_path / "plain.stylepack", packs.manifest(), without)
    with pytest.raises(InputError, match="no style encoder"):
        plain.encode(wide)


def test_unknown_style_names_the_nearest(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    with pytest.raises(InputError, match="did you mean starry-night"):
        pack.style("stary-nite")
    with pytest.raises(InputError, match="it has great-wave, starry-night, the-harvesters"):
        pack.style("xyzzy")
    with pytest.raises(InputError, match=r"has no training/a\.safetensors"):
        pack.read("training/a.safetensors")


def _set(*keys: Any, value: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def _member(name: str, data: bytes) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda manifest, contents: listed(manifest, contents, name, data)


def _unlisted(name: str) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda manifest, contents: contents.update({name: b"x"})


def _swap_generator(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    contents["generator.onnx"] = contents["generator.onnx"][:-1] + b"!"


def _drop_member(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    del contents["style_encoder.onnx"]


def _drop_generator(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    del contents["generator.onnx"]


def _other_network(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    spec = GraphSpec(style_size=4, state_channels=2, margin=16, stride=16)
    listed(manifest, contents, "generator.onnx", graphs.generator(spec).SerializeToString())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", value=2), "format"),
        (_set("colour", value="red"), "colour: Extra inputs are not permitted"),
        (_set("name", value="../evil"), "name"),
        (_set("styles", 0, "name", value="Great Wave"), r"styles\.0\.name"),
        (_set("styles", 0, "name", value="starry-night"), "same name"),
        (_set("styles", 0, "name", value="latent"), "no style may be called"),
        (_set("styles", 1, "code", value=[1.0, 2.0]), "code of starry-night has 2 numbers"),
        (_set("styles", 1, "code", value=[float("nan")] * 4), r"styles\.1\.code"),
        (_set("styles", 1, "code", value=[1e300] * 4), r"styles\.1\.code"),
        (_set("styles", 2, "thumbnail", value="thumbnails/x.png"), "not among the members"),
        (_set("styles", value=[]), "styles"),
        (_set("network", "margin", value=16), "two different networks"),
        (_set("network", "inputs", value=["y", "u", "v"]), "two different networks"),
        (_set("members", "generator.onnx", "bytes", value=10), r"generator\.onnx does not have"),
        (_set("members", "generator.onnx", "bytes", value=10**12), r"generator\.onnx does not"),
        (_set("members", "generator.onnx", "bytes", value=-1), "members"),
        (_set("members", "generator.onnx", "sha256", value="0" * 64), "sha256"),
        (_other_network, "two different networks"),
        (_swap_generator, r"generator\.onnx is not what the manifest says"),
        (_drop_member, r"differ in style_encoder\.onnx"),
        (_unlisted("training/a.safetensors"), r"differ in training/a\.safetensors"),
        (_unlisted("evil.pkl"), "'evil.pkl', which does not belong"),
        (_unlisted("../evil.onnx"), "'../evil.onnx', which does not belong"),
        (_unlisted("/etc/evil.onnx"), "does not belong"),
        (_unlisted("thumbnails/../../evil.png"), "does not belong"),
        (_unlisted("thumbnails/"), "does not belong"),
        (_unlisted("generator.onnx\n"), "does not belong"),
        (_member("training/weights.pt", b"x"), "does not belong"),
        (_member("generator.onnx", b"garbage"), r"generator\.onnx: this is not"),
        (_member("mapping.onnx", b"garbage"), r"mapping\.onnx: this is not"),
        (
            _member("style_encoder.onnx", graphs.style_encoder(5).SerializeToString()),
            r"style, float32 \[N, 4\]",
        ),
        (
            _member("style_encoder.onnx", graphs.generator().SerializeToString()),
            r"picture, float32 \[N, 3, 256, 256\]",
        ),
        (_member("thumbnails/big.png", bytes(5 << 20)), "larger than 4 MiB"),
    ],
)
def test_bad_packs(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None], message: str
) -> None:
    path = raw_pack(tmp_path / "bad.stylepack", change)
    with pytest.raises(InputError, match=message) as caught:
        Pack.open(path)
    assert "\n" not in str(caught.value)


def test_bombs(tmp_path: Path) -> None:
    path = raw_pack(
        tmp_path / "bomb.stylepack",
        _member("training/zeros.safetensors", bytes(50 << 20)),
        zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(InputError, match="compressed more than 200 times"):
        Pack.open(path)


def test_a_lie_about_a_size_is_found_without_unpacking_all(tmp_path: Path) -> None:
    path = raw_pack(
        tmp_path / "a.stylepack", _member("mapping.onnx", bytes(1 << 20)), zipfile.ZIP_DEFLATED
    )
    data = bytearray(path.read_bytes())
    for place in range(len(data) - 4):  # both headers of mapping.onnx say 1 MiB
        if data[place : place + 4] == struct.pack("<I", 1 << 20):
            data[place : place + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(InputError):
        Pack.open(path)


def test_duplicates(tmp_path: Path) -> None:
    path = raw_pack(tmp_path / "a.stylepack")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("generator.onnx", b"second")
    with pytest.raises(InputError, match=r"generator\.onnx twice"):
        Pack.open(path)


def test_more_members_than_any_pack_has(tmp_path: Path) -> None:
    path = tmp_path / "many.stylepack"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"thumbnails/{number}.png", b"")
    with pytest.raises(InputError, match="directory is too large"):
        Pack.open(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, bytes(100)])
def test_files_that_are_no_packs(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.stylepack"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a whole zip file"):
        Pack.open(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Pack.open(tmp_path / "no.stylepack")
    with pytest.raises(InputError, match="Is a directory"):
        Pack.open(tmp_path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_never_more_than_an_input_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(raw_pack(tmp_path / "a.stylepack").read_bytes())
    ends = st.integers(len(whole) - 900, len(whole) - 1)  # where the zip's directory is
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1) | ends, min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "b.stylepack"
    path.write_bytes(whole[: data.draw(st.integers(len(whole) - 40, len(whole)))])
    try:
        pack = Pack.open(path)
    except InputError:
        return
    assert pack.read("generator.onnx") == packs.members()["generator.onnx"]


def test_a_pack_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    for change in (_swap_generator, _unlisted("evil.pkl"), _drop_generator):
        raw_pack(pack.path, change)
        with pytest.raises(InputError, match="has changed"):
            pack.read("generator.onnx")
    pack.path.unlink()
    with pytest.raises(InputError, match="has changed"):
        pack.read("generator.onnx")


def test_a_bad_pack_is_not_written(tmp_path: Path) -> None:
    good = packs.tiny_pack(tmp_path).path
    before = good.read_bytes()
    with pytest.raises(InputError, match="this is not"):
        write_pack(good, packs.manifest(), {**packs.members(), "generator.onnx": b"garbage"})
    with pytest.raises(InputError, match=r"generator\.onnx is not among the members"):
        write_pack(good, packs.manifest(), {})
    assert good.read_bytes() == before
    assert list(tmp_path.iterdir()) == [good]
    with pytest.raises(InputError, match="cannot write"):
        write_pack(tmp_path / "no" / "a.stylepack", packs.manifest(), packs.members())


def test_find_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = packs.tiny_pack(tmp_path)
    assert find_pack(pack.path) == pack
    monkeypatch.setenv("STREAMFX_PACKS", str(tmp_path))
    assert find_pack("tiny") == pack
    with pytest.raises(InputError, match=r"no style pack 'tony'.*known: default, tiny"):
        find_pack("tony")


def test_default_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(InputError, match="no default style pack"):
        find_pack("default")
    (tmp_path / "packs").mkdir()
    made = packs.tiny_pack(tmp_path / "packs", name="default")
    assert find_pack("default") == made
