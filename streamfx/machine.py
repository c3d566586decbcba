"""What machine this is: named in benchmarks and by the doctor."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

# Instructions that decide how fast an engine runs on a CPU.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

_CPU_INFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")


def cpu_name() -> str:
    """The CPU's own name, or the best that the system says of it."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def cpu_instructions() -> tuple[str, ...]:
    """Those of `INSTRUCTIONS` that the CPU lists; empty where the system has no such list."""
    listed = _cpu_field("flags").split()
    return tuple(name for name in INSTRUCTIONS if name in listed)


def _cpu_field(name: str) -> str:
    try:
        lines = _CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), "")


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Tasks that ran or waited in the last minute, None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory() -> int | None:
    """The most memory that this process has held so far, in bytes; None where unknown."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):  # ru_maxrss would count the parent from before exec
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def package_version(name: str) -> str | None:
    """The version of an installed package, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
