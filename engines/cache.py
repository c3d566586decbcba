"""Built engines on disk, recognised before any of them is loaded.

An engine file is a line that says what it is, a line of JSON (its `Key`, the length of what
follows, and the SHA-256 of both) and the back end's own bytes. It is written under another name and
renamed, so a file is whole or damaged from outside; either is known before the runtime sees it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import platformdirs

from streamfx.engines.errors import EngineError

FOLDER_VARIABLE = "STREAMFX_ENGINES"
LIMIT = 4 * 2**30
SUFFIX = ".engine"

_MAGIC = b"streamfx-engine 1\n"
_LONGEST_HEADER = 64 * 1024
_STALE_SECONDS = 24 * 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """What an engine was built from and for.

    Attributes:
        backend, version: who built it.
        graph: SHA-256 of the graph, in hex.
        height, width: of the frames.
        batch: it runs 1 to this many frames at a time.
        precision: of its convolutions.
        devices: what it runs on: "sm89", or a GPU's name where the engine is tied to it.
    """

    backend: str
    version: str
    graph: str
    height: int
    width: int
    batch: int
    precision: str
    devices: tuple[str, ...]

    def file_name(self) -> str:
        """A name that differs where a key does."""
        return f"{self.backend}-{self.width}x{self.height}-{_digest(self)[:16]}{SUFFIX}"


@dataclass(frozen=True)
class Entry:
    """A file of the cache.

    Attributes:
        bytes: its size.
        key: None where it cannot be told.
        problem: what is wrong with it, empty where nothing is.
    """

    path: Path
    bytes: int
    key: Key | None
    problem: str = ""


class EngineCache:
    """The engines in one folder.

    Args:
        folder: None = `$STREAMFX_ENGINES`, or else the user's cache folder.
        limit: bytes that the files may take together; those used longest ago go first.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder = folder or default_folder()
        self.limit = limit

    def store(self, key: Key, plan: bytes) -> Path:
        """Write an engine, whole or not at all, and make room for it.

        Raises:
            EngineError: it cannot be written.
        """
        path = self.folder / key.file_name()
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(_header(key, plan) + plan)
            partial.replace(path)
        except OSError as error:
            raise EngineError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        self._make_room(keep=path)
        return path

    def find(self, wanted: Key) -> Path:
        """The engine for `wanted`, whose `devices` names the one device it shall run on.

        An engine for larger batches or for more devices serves as well.

        Raises:
            EngineError: there is none; the message says if one is out of date.
        """
        device = wanted.devices[0]
        others: list[Key] = []
        found: list[tuple[int, Path]] = []
        for entry in self.entries():
            key = entry.key
            if key is None or _picture(key) != _picture(wanted) or key.batch < wanted.batch:
                continue
            if key.version == wanted.version and device in key.devices:
                found.append((key.batch, entry.path))
            else:
                others.append(key)
        if found:
            return min(found)[1]
        what = f"{wanted.backend} engine for {wanted.width}x{wanted.height} {wanted.precision}"
        if not others:
            raise EngineError(f"no {what} has been built for this graph")
        other = others[0]
        if other.version != wanted.version:
            raise EngineError(
                f"the {what} is out of date: {other.version} built it, this is {wanted.version}"
            )
        raise EngineError(f"the {what} was built for {', '.join(other.devices)}, not {device}")

    def read(self, path: Path) -> tuple[Key, bytes]:
        """The key and the back end's bytes of an engine file, held against its checksum.

        Raises:
            EngineError: it cannot be read, is no engine file, is cut off or is damaged.
        """
        try:
            data = path.read_bytes()
            os.utime(path)  # it was used now, which keeps it
        except OSError as error:
            raise EngineError(f"cannot read {path}: {error.strerror or error}") from error
        key, length, digest, start = _parse(data[:_LONGEST_HEADER], path)
        plan = data[start:]
        if len(plan) != length:
            raise EngineError(f"{path} is cut off or padded: {len(plan)} of {length} bytes")
        if _digest(key, plan) != digest:
            raise EngineError(f"{path} is damaged: its checksum is another one")
        return key, plan

    def entries(self) -> Iterator[Entry]:
        """The files of the cache, by name; only their first lines are read."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                size = path.stat().st_size
                with path.open("rb") as file:
                    key, length, _, start = _parse(file.read(_LONGEST_HEADER), path)
            except OSError as error:
                yield Entry(path, 0, None, error.strerror or str(error))
            except EngineError as error:
                yield Entry(path, size, None, str(error))
            else:
                whole = size == start + length
                yield Entry(path, size, key, "" if whole else f"{path} is cut off or padded")

    def clear(self) -> int:
        """Remove every engine file and what interrupted writers left; how many there were.

        Raises:
            EngineError: one cannot be removed.
        """
        removed = 0
        for path in (*self.folder.glob(f"*{SUFFIX}"), *self._partials()):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise EngineError(f"cannot remove {path}: {error.strerror or error}") from error
            removed += 1
        return removed

    def _partials(self) -> Iterator[Path]:
        return self.folder.glob(f".*{SUFFIX}.*.part")

    def _make_room(self, keep: Path) -> None:
        used: list[tuple[float, int, Path]] = []
        try:
            for path in self._partials():
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink(missing_ok=True)
            for path in self.folder.glob(f"*{SUFFIX}"):
                status = path.stat()
                used.append((status.st_mtime, status.st_size, path))
            total = sum(size for _, size, _ in used)
            for _, size, path in sorted(used):
                if total <= self.limit:
                    return
                if path != keep:
                    path.unlink(missing_ok=True)
                    total -= size
                    log.info("removed %s: the engines took over %d MiB", path, self.limit >> 20)
        except OSError as error:  # another process tidies up as well
            log.info("cannot tidy %s: %s", self.folder, error)


def default_folder() -> Path:
    """`$STREAMFX_ENGINES`, or the user's cache folder of this system."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("streamfx") / "engines"


def graph_digest(graph: bytes) -> str:
    """How a `Key` names a graph."""
    return hashlib.sha256(graph).hexdigest()


def _picture(key: Key) -> tuple[str, str, int, int, str]:
    return key.backend, key.graph, key.height, key.width, key.precision


def _digest(key: Key, plan: bytes = b"") -> str:
    digest = hashlib.sha256(json.dumps(asdict(key)).encode())
    digest.update(plan)
    return digest.hexdigest()


def _header(key: Key, plan: bytes) -> bytes:
    facts = asdict(key) | {"length": len(plan), "sha256": _digest(key, plan)}
    return _MAGIC + json.dumps(facts).encode() + b"\n"


def _parse(start: bytes, path: Path) -> tuple[Key, int, str, int]:
    """Key, length and digest of the plan, and where it starts."""
    foreign = EngineError(f"{path} is not an engine file of this program")
    end = start.find(b"\n", len(_MAGIC))
    if not start.startswith(_MAGIC) or end < 0:
        raise foreign
    try:
        facts: dict[str, Any] = json.loads(start[len(_MAGIC) : end])
        length, digest = facts["length"], facts["sha256"]
        values = {field.name: facts[field.name] for field in fields(Key)}
        values["devices"] = tuple(map(str, values["devices"]))
        key = Key(**values)
        numbers = (length, key.height, key.width, key.batch)
        words = (digest, key.backend, key.version, key.graph, key.precision)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise foreign from error
    if not all(type(n) is int for n in numbers) or not all(type(w) is str for w in words):
        raise foreign
    return key, length, digest, end + 1
