"""Style packs: one zip file NAME.stylepack with a generator, its styles and their papers.

A pack may come from anywhere, so `Pack.open` holds all of it against its manifest before any
part is used: the zip's own structure, the count, names, sizes and hashes of its members, the
codes, and the graphs. A pack holds no code: only ONNX graphs, pictures and safetensors.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from streamfx.brushwork import decode_swatches
from streamfx.encoder import StyleEncoder, read_encoder
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_spec
from streamfx.errors import InputError
from streamfx.latents import MappingNetwork, read_mapping
from streamfx.manifest import (
    BRUSHWORK,
    FORMAT,
    GENERATOR,
    MAPPING,
    STYLE_ENCODER,
    Manifest,
    Style,
    is_member_name,
)
from streamfx.pictures import Picture

SUFFIX = ".stylepack"
DEFAULT = "default"
MANIFEST = "manifest.json"

_MIB = 1 << 20
_LARGEST_PACK = 512 * _MIB  # of the file, and of its members together
_LARGEST_MEMBER = {
    ".json": 8 * _MIB,
    ".onnx": 128 * _MIB,
    ".jpg": 4 * _MIB,
    ".png": 4 * _MIB,
    ".safetensors": 256 * _MIB,
}
_LARGEST_RATIO = 200  # weights and pictures hardly compress: this is a bomb
_LARGEST_DIRECTORY = _MIB
_END_RECORD, _LOCATOR = 22, 20
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


class _Refused(Exception):
    """Why a pack is refused; `Pack.open` adds which pack."""


@dataclass(frozen=True)
class Pack:
    """A verified style pack. Members are read when they are asked for.

    Attributes:
        path: the file.
        manifest: what it says about itself.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Pack:
        """Open and verify a pack; see the module for what is verified.

        Raises:
            InputError: there is no such file, or it is not a sound pack.
        """
        pack_path = Path(path)
        try:
            with _archive(pack_path) as archive:
                manifest = _read_manifest(archive)
                for name in manifest.members:
                    _check_content(name, _read_member(archive, manifest, name), manifest)
        except _Refused as error:
            raise InputError(f"the style pack {pack_path} cannot be used: {error}") from error
        except OSError as error:
            raise InputError(
                f"cannot read the style pack {pack_path}: {error.strerror or error}"
            ) from error
        except _ZIP_ERRORS as error:
            raise InputError(f"{pack_path} is not a style pack, or is damaged: {error}") from error
        return cls(pack_path, manifest)

    def __reduce__(self) -> tuple[type[Pack], tuple[Path, Manifest]]:
        """What goes to another process: engines that were begun stay here."""
        return Pack, (self.path, self.manifest)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def styles(self) -> tuple[Style, ...]:
        return self.manifest.styles

    def style(self, name: str) -> Style:
        """The style called `name`, without its pack.

        Raises:
            InputError: there is none; the message names the nearest.
        """
        for style in self.styles:
            if style.name == name:
                return style
        known = [style.name for style in self.styles]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:20])}"
        raise InputError(f"the style pack {self.name!r} has no style {name!r}; {hint}")

    def read(self, name: str) -> bytes:
        """A member's content, verified again.

        Raises:
            InputError: the pack has no such member, or the file has changed since it was opened.
        """
        if name not in self.manifest.members:
            raise InputError(f"the style pack {self.name!r} has no {name}")
        try:
            with _archive(self.path) as archive:
                return _read_member(archive, self.manifest, name)
        except (_Refused, *_ZIP_ERRORS) as error:
            raise InputError(f"the style pack {self.path} has changed: {error}") from error

    @property
    def generator(self) -> bytes:
        """The generator's graph."""
        return self.read(GENERATOR)

    def encode(self, picture: Picture) -> NDArray[np.float32]:
        """The style code, float32 [S], that the style encoder reads from a picture.

        Args:
            picture: uint8 RGB [H, W, 3]; the largest centred square counts.

        Raises:
            InputError: the pack has no style encoder.
        """
        return self._encoder(picture)

    @cached_property
    def mapping(self) -> MappingNetwork:
        """The network behind `latent:` and `~`.

        Raises:
            InputError: the pack has none.
        """
        if MAPPING not in self.manifest.members:
            raise InputError(
                f"the style pack {self.name!r} has no mapping network, so it knows no latent "
                "styles and no variations"
            )
        return MappingNetwork(self.read(MAPPING), self.manifest.network.style_size)

    @cached_property
    def _encoder(self) -> StyleEncoder:
        if STYLE_ENCODER not in self.manifest.members:
            raise InputError(
                f"the style pack {self.name!r} has no style encoder, so it cannot read pictures"
            )
        return StyleEncoder(self.read(STYLE_ENCODER), self.manifest.network.style_size)


def write_pack(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], members: Mapping[str, bytes]
) -> Pack:
    """Write a pack, open it as a user's program would, and only then give it its name.

    The same content gives the same bytes.

    Args:
        path: NAME.stylepack; what was there is replaced.
        manifest: `Manifest` as a dict; `format` and `members` are filled in.
        members: name -> content, `generator.onnx` at least.

    Raises:
        InputError: the pack would not be sound, or cannot be written there.
    """
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in sorted(members.items())
    }
    full = _validate(
        lambda: Manifest.model_validate({**manifest, "format": FORMAT, "members": listed})
    )
    final = Path(path)
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            archive.writestr(zipfile.ZipInfo(MANIFEST), full.model_dump_json(indent=1))
            for name in listed:
                archive.writestr(zipfile.ZipInfo(name), members[name])
        Pack.open(part)
        part.replace(final)
    except OSError as error:
        raise InputError(
            f"cannot write the style pack {final}: {error.strerror or error}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Pack(final, full)


def default_pack() -> Pack:
    """The pack that is installed with the program.

    Raises:
        InputError: this installation has none.
    """
    path = Path(str(importlib.resources.files("streamfx"))) / "packs" / (DEFAULT + SUFFIX)
    if not path.is_file():
        raise InputError(
            "this installation has no default style pack; name a pack file, "
            "or train one with: streamfx train"
        )
    return Pack.open(path)


def pack_folder() -> Path:
    """Where a user's packs are looked for by name: $STREAMFX_PACKS or ~/.streamfx/packs."""
    return Path(os.environ.get("STREAMFX_PACKS") or Path.home() / ".streamfx" / "packs")


def find_pack(name_or_path: str | os.PathLike[str]) -> Pack:
    """A pack by its file, or by its name: `default`, or one in `pack_folder()`.

    Raises:
        InputError: there is none, or it is not sound.
    """
    text = os.fspath(name_or_path)
    if text.endswith(SUFFIX) or os.sep in text:
        return Pack.open(text)
    if text == DEFAULT:
        return default_pack()
    path = pack_folder() / (text + SUFFIX)
    if path.is_file():
        return Pack.open(path)
    known = [DEFAULT, *sorted(each.stem for each in pack_folder().glob("*" + SUFFIX))]
    raise InputError(
        f"there is no style pack {text!r} in {pack_folder()}; known: {', '.join(known)} "
        f"(a file is named with its ending {SUFFIX})"
    )


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The pack's zip, with nothing in its directory that a pack may not have."""
    with path.open("rb") as file:
        _check_end(file)
        with zipfile.ZipFile(file) as archive:
            _check_directory(archive)
            yield archive


def _check_end(file: BinaryIO) -> None:
    """Refuse a directory too large to parse, which zipfile would read whole before any check."""
    size = file.seek(0, os.SEEK_END)
    if size > _LARGEST_PACK:
        raise _Refused(f"it is larger than {_LARGEST_PACK // _MIB} MiB")
    file.seek(max(0, size - _END_RECORD - _LOCATOR))
    tail = file.read()
    end = tail[-_END_RECORD:]
    if not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise _Refused("it is not a whole zip file without a comment")
    if tail.startswith(b"PK\6\7"):
        raise _Refused("it is a zip64 file")
    if int.from_bytes(end[12:16], "little") > _LARGEST_DIRECTORY:
        raise _Refused("its directory is too large")
    file.seek(0)


def _check_directory(archive: zipfile.ZipFile) -> None:
    """Refuse members by what the directory says of them, before any content is read."""
    names: set[str] = set()
    total = 0
    for info in archive.infolist():
        name = info.orig_filename
        if name != MANIFEST and not is_member_name(name):
            raise _Refused(f"it holds {name[:100]!r}, which does not belong into a style pack")
        if name in names:
            raise _Refused(f"it holds {name} twice")
        names.add(name)
        total += info.file_size
        largest = _LARGEST_MEMBER[Path(name).suffix]
        if info.file_size > largest:
            raise _Refused(f"{name} is larger than {largest // _MIB} MiB")
        if total > _LARGEST_PACK:
            raise _Refused(f"its members are larger than {_LARGEST_PACK // _MIB} MiB together")
        if info.file_size > _LARGEST_RATIO * max(info.compress_size, 1):
            raise _Refused(f"{name} is compressed more than {_LARGEST_RATIO} times")
        if info.flag_bits & 1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise _Refused(f"{name} is encrypted or packed in a way that packs do not use")


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    names = set(archive.namelist())
    if MANIFEST not in names:
        raise _Refused(f"it has no {MANIFEST}")
    data = _read_bounded(archive, MANIFEST, archive.getinfo(MANIFEST).file_size)
    try:
        manifest = _validate(lambda: Manifest.model_validate_json(data))
    except InputError as error:
        raise _Refused(str(error)) from error
    odd = names ^ {MANIFEST, *manifest.members}
    if odd:
        raise _Refused(f"its manifest and its content differ in {', '.join(sorted(odd)[:5])}")
    return manifest


def _validate(make: Callable[[], Manifest]) -> Manifest:
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{MANIFEST} is wrong{' at ' if where else ''}{where}: {first['msg']}"
        ) from error


def _read_member(archive: zipfile.ZipFile, manifest: Manifest, name: str) -> bytes:
    member = manifest.members[name]
    data = _read_bounded(archive, name, member.bytes)
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise _Refused(f"{name} is not what the manifest says (sha256)")
    return data


def _read_bounded(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    if name not in archive.namelist():
        raise _Refused(f"it lacks {name}")
    with archive.open(name) as file:
        data = file.read(min(size, _LARGEST_PACK) + 1)
    if len(data) != size:
        raise _Refused(f"{name} does not have the {size} bytes that it should")
    return data


def _check_content(name: str, data: bytes, manifest: Manifest) -> None:
    network = manifest.network
    try:
        if name == GENERATOR:
            spec = read_spec(data)
            if spec != network.spec or set(network.inputs) != spec.input_shapes(2, 2).keys():
                raise _Refused(f"{name} and the manifest describe two different networks")
        elif name == STYLE_ENCODER:
            read_encoder(data, network.style_size)
        elif name == MAPPING:
            read_mapping(data, network.style_size)
        elif name.startswith(BRUSHWORK):
            decode_swatches(data, name)
    except EngineError as error:
        raise _Refused(f"{name}: {error}") from error
    except InputError as error:
        raise _Refused(str(error)) from error
