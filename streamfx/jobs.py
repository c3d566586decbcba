"""From what a user names to a list of jobs: one input file and one output file each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamfx.errors import InputError, StreamFXError
from streamfx.media.containers import CONTAINERS, container_of
from streamfx.process import PICTURES

# What counts as a video when a folder is walked; a file that is named is tried whatever it is.
_VIDEOS = (
    *CONTAINERS,
    *(".avi", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".m2ts", ".mts", ".vob"),
    *(".3gp", ".3g2", ".ogv", ".mxf", ".y4m", ".gif", ".dv"),
)


@dataclass(frozen=True)
class Job:
    """One file to restyle."""

    source: Path
    target: Path

    @property
    def is_picture(self) -> bool:
        return _is_picture(self.source)


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: what is to be restyled.
        done: outputs that exist already and are left alone.
        alone: whether one file was asked for, whose failure is the failure of everything.
    """

    jobs: list[Job]
    done: list[Path]
    alone: bool


def plan(inputs: Sequence[Path], output: Path | None, *, overwrite: bool = False) -> Plan:
    """Which file becomes which.

    One file becomes the file `output`, or goes into the folder `output`. Folders keep their
    tree; they and several files go into the folder `output`. Without `output`, NAME.styled
    stands beside each input. Folders that are missing are made when the jobs run.

    Raises:
        InputError: an input is missing, an output would overwrite an input or another output,
            exists already (where it was named by itself), or has an extension that is not
            written.
    """
    for source in inputs:
        if not source.exists():
            raise InputError(f"there is no file {str(source)!r}{_did_you_mean(source)}")
    alone = len(inputs) == 1 and not inputs[0].is_dir()
    if alone:
        jobs = [Job(inputs[0], _single(inputs[0], output))]
    else:
        if output is not None and output.exists() and not output.is_dir():
            raise InputError(f"{str(output)!r} must be a folder: there are several inputs")
        jobs = [job for source in inputs for job in _several(source, output)]
        if not jobs:
            raise InputError("there is no video or picture in " + ", ".join(map(str, inputs)))
    _refuse_collisions(jobs)
    existing = [job.target for job in jobs if job.target.exists()]
    if existing and alone and not overwrite:
        raise InputError(f"{str(existing[0])!r} exists already; --overwrite replaces it")
    if overwrite:
        existing = []
    return Plan([job for job in jobs if job.target not in existing], existing, alone)


def _single(source: Path, output: Path | None) -> Path:
    if output is None:
        return _styled(source)
    if output.is_dir():
        return output / _name(source)
    _check_name(source, output)
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {str(output.parent)!r} for the output")
    return output


def _several(source: Path, output: Path | None) -> list[Job]:
    if not source.is_dir():
        return [Job(source, output / _name(source) if output else _styled(source))]
    root = output or source.with_name(f"{source.resolve().name}.styled")
    jobs = []
    for folder, folders, names in os.walk(source):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not _is_same(here / f, root) and f[0] != ".")
        for name in sorted(names):
            file = here / name
            if name[0] != "." and _is_media(file) and ".partial" not in file.suffixes:
                jobs.append(Job(file, root / here.relative_to(source) / _name(file)))
    return jobs


def _styled(source: Path) -> Path:
    return source.with_name(f"{source.stem}.styled{_suffix(source)}")


def _name(source: Path) -> str:
    """The output's name in another folder; one whose container changes keeps its old suffix
    too, so that `a.avi` and `a.mp4` don't meet."""
    suffix = _suffix(source)
    return source.name if suffix == source.suffix else source.name + suffix


def _suffix(source: Path) -> str:
    written = PICTURES if _is_picture(source) else CONTAINERS
    return source.suffix if source.suffix.lower() in written else ".mp4"


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _is_media(path: Path) -> bool:
    return path.is_file() and (_is_picture(path) or path.suffix.lower() in _VIDEOS)


def _check_name(source: Path, output: Path) -> None:
    if not _is_picture(source):
        container_of(output)
    elif not _is_picture(output):
        raise InputError(
            f"cannot write {str(output)!r}: a picture's name ends in {', '.join(PICTURES)}"
        )


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    sources = {_real(job.source) for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        target = _real(job.target)
        if target in sources or (job.target.exists() and job.target.samefile(job.source)):
            raise InputError(f"the output {str(job.target)!r} is an input: name another with -o")
        if target in taken:
            raise InputError(
                f"{str(taken[target])!r} and {str(job.source)!r} would both become "
                f"{str(job.target)!r}"
            )
        taken[target] = job.source


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _is_same(path: Path, other: Path) -> bool:
    return _real(path) == _real(other)


def _did_you_mean(path: Path) -> str:
    from difflib import get_close_matches

    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def make_room(job: Job) -> None:
    """Make the folder that a job's output goes into.

    Raises:
        StreamFXError: it cannot be made.
    """
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamFXError(
            f"cannot make the folder {str(job.target.parent)!r}: {error.strerror or error}"
        ) from error
