"""What was measured to be fastest on this machine, remembered from one start to the next.

`streamfx.engines.tuning` measures and writes; `streamfx.engines.load` reads. All of it is one small
JSON file. One that is damaged or of another program counts as empty and is written anew.
"""

from __future__ import annotations

import logging
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from streamfx.engines.base import Available, Backend, Engine, EngineOptions
from streamfx.engines.cache import default_folder, graph_digest
from streamfx.engines.errors import EngineError
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.openvino import OpenVINOBackend, Placement

FILE = "cpu-choices.json"
LIMIT = 128  # machines, graphs and sizes remembered; the oldest go first

_LARGEST_FILE = 1 << 20
_PACKAGES = ("streamfx", "openvino", "onnxruntime")

CPUBackend = Literal["openvino", "onnxruntime"]
CPU_BACKENDS: tuple[CPUBackend, ...] = ("openvino", "onnxruntime")
_Count = Annotated[int, Field(ge=1, le=1 << 16)]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """How a CPU runs a graph.

    Attributes:
        precision: a named one.
        threads: at least 1.
        placement: of OpenVINO's threads.
    """

    backend: CPUBackend
    precision: Literal["bf16", "fp32"]
    threads: _Count
    placement: Placement = field(default_factory=Placement)

    def load(self, graph: bytes, *, size: tuple[int, int], batch: int = 1) -> Engine:
        """See `Backend.load`."""
        backend: Backend = (
            OpenVINOBackend(placement=self.placement)
            if self.backend == "openvino"
            else ONNXRuntimeBackend()
        )
        options = EngineOptions(self.precision, self.threads)
        return backend.load(graph, size=size, batch=batch, options=options)

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        words = (f"{self.backend} {self.precision}", threads, str(self.placement))
        return ", ".join(filter(None, words))


@dataclass(frozen=True)
class Key:
    """What a choice holds for: this machine, these packages, this graph, and what was asked for.

    Attributes:
        cpu: its name.
        cores: those that the process may use.
        versions: of the packages that compute.
        graph: SHA-256 of the graph, in hex.
        height, width, batch: of the frames.
        backend, precision, threads: as asked, with "auto" and None.
    """

    cpu: str
    cores: int
    versions: tuple[str, ...]
    graph: str
    height: int
    width: int
    batch: int
    backend: str
    precision: str
    threads: int | None


@dataclass(frozen=True)
class Remembered:
    """A choice, and milliseconds for a frame (median) with it and with the defaults."""

    key: Key
    choice: Choice
    milliseconds: float
    default_milliseconds: float


@dataclass(frozen=True)
class _File:
    choices: tuple[Remembered, ...]
    format: Literal["streamfx-cpu-choices 1"]  # says of a file that it is ours


class ChoiceMemory:
    """The choices in one folder.

    Two processes that store at the same time may lose one choice: it then counts as not measured.

    Args:
        folder: None = where built engines lie, see `streamfx.engines.cache`.
        limit: choices that are kept; those measured longest ago go first.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.path = (folder or default_folder()) / FILE
        self.limit = limit

    def find(self, key: Key) -> Choice | None:
        """What was measured for `key`, None if nothing was."""
        return next((each.choice for each in self.all() if each.key == key), None)

    def all(self) -> tuple[Remembered, ...]:
        """Every choice, the newest last; none where there is no file or a bad one."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            log.warning("cannot read %s: %s", self.path, error.strerror or error)
            return ()
        try:
            if len(data) > _LARGEST_FILE:
                raise ValueError("too large")
            return TypeAdapter(_File).validate_json(data).choices
        except (ValidationError, ValueError):
            log.warning("%s is damaged or not of this program: nothing is taken from it", self.path)
            return ()

    def store(self, found: Remembered) -> None:
        """Remember a choice, in place of one for the same key.

        Raises:
            EngineError: the file cannot be written.
        """
        others = [each for each in self.all() if each.key != found.key]
        kept = (*others, found)[-self.limit :]
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(to_json(asdict(_File(kept, "streamfx-cpu-choices 1")), indent=1))
            partial.replace(self.path)
        except OSError as error:
            raise EngineError(f"cannot write {self.path}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def clear(self) -> int:
        """Forget every choice; how many there were.

        Raises:
            EngineError: the file cannot be removed.
        """
        count = len(self.all())
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise EngineError(f"cannot remove {self.path}: {error.strerror or error}") from error
        return count


def key_for(
    graph: bytes, size: tuple[int, int], *, backend: str, batch: int, options: EngineOptions
) -> Key:
    """The key of a choice on the machine at hand."""
    found = OpenVINOBackend().probe()
    if isinstance(found, Available):
        cpu = found.device
    else:
        cpu = platform.processor() or platform.machine()
    return Key(
        cpu=cpu,
        cores=EngineOptions().thread_count(),
        versions=tuple(f"{package} {_version(package)}" for package in _PACKAGES),
        graph=graph_digest(graph),
        height=size[0],
        width=size[1],
        batch=batch,
        backend=backend,
        precision=options.precision,
        threads=options.threads,
    )


def remembered(
    graph: bytes, size: tuple[int, int], *, backend: str, batch: int, options: EngineOptions
) -> Choice | None:
    """What was measured to be fastest here for just this, None if nothing was."""
    memory = ChoiceMemory()
    if not memory.path.exists():
        return None
    return memory.find(key_for(graph, size, backend=backend, batch=batch, options=options))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
