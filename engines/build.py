"""Building a TensorRT engine in a process of its own, with a time limit.

A failed build leaves the builder changed, a bad graph may take the process down, and a build may
take minutes: none of that may happen where frames are running.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamfx.engines.base import Progress, silent
from streamfx.engines.errors import EngineError

TIME_LIMIT = 900.0

_BUILDER = "streamfx.engines.builder"
_LONGEST_LINE = 64 * 1024
_LONGEST_TAIL = 400


@dataclass(frozen=True)
class Job:
    """What the builder's process is asked for.

    Attributes:
        module: the TensorRT module, see `streamfx.engines.tensorrt.Flavour`.
        height, width: of the frames.
        batch: 1, or the engine takes 1 to this many frames at a time.
        precision: "fp16", "bf16" or "fp32".
        capabilities: the SMs to build for; none = the GPU at hand.
    """

    module: str
    height: int
    width: int
    batch: int
    precision: str
    capabilities: tuple[int, ...]


def build_plan(
    job: Job, graph: bytes, *, limit: float = TIME_LIMIT, progress: Progress = silent
) -> bytes:
    """The engine, in TensorRT's own bytes.

    Args:
        limit: seconds after which the process is killed.

    Raises:
        EngineError: the build failed, crashed or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="streamfx-build-") as name:
        folder = Path(name)
        (folder / "graph.onnx").write_bytes(graph)
        errors = folder / "stderr"
        # -P: the installed package is meant, whatever lies in the working folder.
        command = [sys.executable, "-P", "-m", _BUILDER, str(folder)]
        with (
            errors.open("wb") as tail,
            subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=tail
            ) as process,
        ):
            timer = threading.Timer(limit, process.kill)
            try:
                timer.start()
                answer = _converse(process, job, progress)
                code = process.wait()
                late = not timer.is_alive()
            finally:
                timer.cancel()
                process.kill()
        plan = folder / "plan"
        if code == 0 and plan.exists():
            return plan.read_bytes()
        if answer:
            raise EngineError(answer)
        if late:
            raise EngineError(
                f"the build was stopped after {limit:.0f} seconds; allow more with --timeout"
            )
        said = " ".join(errors.read_text(errors="replace").split())[-_LONGEST_TAIL:]
        raise EngineError(f"the build ended with {_ending(code)}: {said or 'it said nothing'}")


def _converse(process: subprocess.Popen[bytes], job: Job, progress: Progress) -> str:
    """Hand the job over, pass progress on; the error that the builder reports, if it does."""
    answer = ""
    stdout = process.stdout
    assert process.stdin is not None
    assert stdout is not None
    # It stays open: the builder ends when it closes, so that it never outlives us.
    with suppress(BrokenPipeError):  # it has ended already; what it said and its code say why
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
    for line in iter(lambda: stdout.readline(_LONGEST_LINE), b""):
        try:
            said: Any = json.loads(line)
        except ValueError:
            continue  # TensorRT printed something
        if not isinstance(said, dict):
            continue
        if "error" in said:
            answer = str(said["error"])
        elif "phase" in said:
            progress(str(said["phase"]), float(said["share"]))
    return answer


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
