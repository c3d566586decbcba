"""`streamfx process`: recorded videos, pictures and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from threading import Event

    from streamfx.cli.report import Report
    from streamfx.jobs import Job, Plan
    from streamfx.process import Outcome, Restyler, Settings


def command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN", help="Files or folders.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File or folder; else NAME.styled beside IN."),
    ] = None,
    style: Annotated[
        str, typer.Option(help="A name, a blend (a:0.6+b:0.4) or image:PICTURE.")
    ] = "great-wave",
    strength: Annotated[float, typer.Option(help="0 = the input, 1 = the full style.")] = 1.0,
    pack: Annotated[str | None, typer.Option(help="A style pack: its name or file.")] = None,
    backend: Annotated[
        str, typer.Option(help="auto, or a name that `engines probe` lists.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Of the engine.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the engine.")] = None,
    codec: Annotated[str | None, typer.Option(help="h264, hevc, av1 or vp9.")] = None,
    crf: Annotated[int | None, typer.Option(help="Quality: lower is better and larger.")] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's speed.")] = None,
    start: Annotated[str, typer.Option(help="Where to begin: seconds or [H:]M:S.")] = "0",
    duration: Annotated[str | None, typer.Option(help="How much: seconds or [H:]M:S.")] = None,
    size: Annotated[str | None, typer.Option(help="1280x720, or 720p: the shorter side.")] = None,
    frames: Annotated[
        Literal["auto", "cpu"],
        typer.Option(help="auto: on the GPU from decoder to encoder, where that is possible."),
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what fails.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say what runs where, and why.")
    ] = False,
) -> None:
    """Restyle videos, pictures or whole folders."""
    from streamfx.cli.report import Report, say_log, seconds, stop_on_signals
    from streamfx.jobs import plan
    from streamfx.media.containers import Encoding, container_of
    from streamfx.media.sizes import WantedSize
    from streamfx.process import Settings
    from streamfx.stylizer import Stylizer

    settings = Settings(
        encoding=Encoding(codec, crf, preset),
        start=seconds(start),
        duration=None if duration is None else seconds(duration),
        size=None if size is None else WantedSize.parse(size),
        frames=frames,
    )
    planned = plan(inputs, output, overwrite=overwrite)
    for job in planned.jobs:
        if not job.is_picture:
            settings.encoding.settle(container_of(job.target))
    with (
        Report(quiet) as report,
        stop_on_signals() as stop,
        Stylizer(
            style,
            strength=strength,
            pack=pack,
            backend=backend,
            precision=precision,
            threads=threads,
        ) as stylizer,
    ):
        if verbose:
            say_log(report)
        code = run_plan(planned, stylizer, settings, report, stop)
    raise typer.Exit(code)


def run_plan(
    planned: Plan, restyler: Restyler, settings: Settings, report: Report, stop: Event
) -> int:
    """Do the jobs, say what became of each, and return the exit code.

    A job that fails among several is said in one line and the others go on.

    Raises:
        InputError, StreamFXError, EngineError: the only job failed.
    """
    from streamfx.cli import STOPPED
    from streamfx.errors import EngineError, StreamFXError
    from streamfx.process import End

    done = failed = 0
    for path in planned.done:
        report.say(f"{path} is there already: skipped")
    for job in planned.jobs:
        if stop.is_set():
            break
        try:
            outcome = run_job(job, restyler, settings, report, stop)
        except (StreamFXError, EngineError) as error:
            if planned.alone:
                raise
            report.fail(f"{job.source}: {error}")
            failed += 1
            continue
        report_outcome(job, outcome, report)
        done += outcome.end is End.DONE
        failed += outcome.end is End.CUT_OFF
    if not planned.alone:
        left = len(planned.jobs) - done - failed
        report.say(
            f"{done} restyled, {len(planned.done)} skipped, {failed} failed"
            + (f", {left} left" if left else "")
        )
    if stop.is_set():
        return STOPPED
    return 1 if failed else 0


def run_job(
    job: Job, restyler: Restyler, settings: Settings, report: Report, stop: Event
) -> Outcome:
    """Do one job with a progress bar."""
    from streamfx.jobs import make_room
    from streamfx.process import process_picture, process_video

    make_room(job)
    if job.is_picture:
        return process_picture(job.source, job.target, restyler, settings, say=report.say)
    with report.bar(job.source.name) as progress:
        return process_video(
            job.source,
            job.target,
            restyler,
            settings,
            say=report.say,
            progress=progress,
            stop=stop,
        )


def report_outcome(job: Job, outcome: Outcome, report: Report) -> None:
    """One line about a job that ended without an error."""
    from streamfx.process import End

    length = f"{outcome.frames} frames, {outcome.seconds:.2f} s"
    if outcome.end is End.DONE:
        report.say(f"{outcome.path}" if job.is_picture else f"{outcome.path}: {length}")
    elif outcome.end is End.CUT_OFF:
        report.fail(f"{job.source} is cut off; {outcome.path} holds what there is: {length}")
    elif outcome.path is None:
        report.fail(f"{job.source}: stopped before the first frame; nothing was written")
    else:
        report.fail(f"{job.source}: stopped; {outcome.path} holds what was done: {length}")
