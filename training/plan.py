"""What a run would cost, measured on this machine and not run: `streamfx train --dry-run`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from streamfx.training.facemaps import face_maps
from streamfx.training.library import Library, Source, Sources, Style, read_sources
from streamfx.training.networks import WIDTHS, Generator, multiply_accumulates
from streamfx.training.parallel import Processes
from streamfx.training.recipes import Recipe
from streamfx.training.teacher import targets_for_style
from streamfx.training.trainer import Trainer

_STEPS = 2  # of each kind that are timed, after one that is not
_FRAME = (720, 1280)


@dataclass(frozen=True)
class Cost:
    """What a run would take.

    Attributes:
        contents: pictures that restyling is learnt on.
        styles, extra: styles of the pack, and pictures that teach the style encoder alone.
        targets, missing: in all, and those that are not in the cache.
        target_seconds: for each of them.
        parameters: of the generator.
        macs: multiply-accumulates of a 1280x720 frame.
        single_seconds, clip_seconds: of a step on single frames and of one on clips.
        steps: of the whole run.
        warm_up: of these, before clips begin.
    """

    contents: int
    styles: int
    extra: int
    targets: int
    missing: int
    target_seconds: float
    parameters: int
    macs: int
    single_seconds: float
    clip_seconds: float
    steps: int
    warm_up: int

    @property
    def step_seconds(self) -> float:
        """Of a step after the warm-up, where single frames and clips take turns."""
        return (self.single_seconds + self.clip_seconds) / 2

    @property
    def training_seconds(self) -> float:
        warm_up = min(self.warm_up, self.steps)
        return warm_up * self.single_seconds + (self.steps - warm_up) * self.step_seconds

    def within(self, minutes: float) -> int:
        """How many steps a budget is enough for."""
        left = minutes * 60 - self.warm_up * self.single_seconds
        if left < 0:
            return int(minutes * 60 / self.single_seconds)
        return self.warm_up + int(left / self.step_seconds)

    def lines(self, minutes: float | None) -> list[str]:
        """In words, a line for each part."""
        extra = f" and {self.extra} pictures for the style encoder" if self.extra else ""
        lines = [
            f"{self.styles} style{'s' * (self.styles != 1)}{extra}, {self.contents} contents",
            f"targets: {self.missing} of {self.targets} to make, about "
            f"{_minutes(self.missing * self.target_seconds)}",
            f"generator: {self.parameters:,} parameters, {self.macs / 1e9:.2f} GMAC for a "
            f"{_FRAME[1]}x{_FRAME[0]} frame",
            f"steps: {self.single_seconds:.2f} s on single frames, "
            f"{self.clip_seconds:.2f} s on clips",
        ]
        if minutes is None:
            lines.append(f"{self.steps} steps: about {_minutes(self.training_seconds)}")
        else:
            lines.append(f"{minutes:g} minutes: about {self.within(minutes)} steps")
        return lines


def estimate(
    recipe: Recipe,
    content: Path | None,
    pictures: Path,
    cache: Path,
    *,
    attributes: str = "",
    device: torch.device | None = None,
) -> Cost:
    """Measure what a run would cost in one process; nothing is kept.

    Args: see `streamfx.training.library.read_sources`; device: where its networks would be.

    Raises:
        InputError: a folder or picture is missing or unreadable.
    """
    sources = read_sources(recipe, content, pictures, cache, attributes=attributes)
    config = WIDTHS[recipe.width]
    single, clip = _time_steps(recipe, sources, Processes(device=device or torch.device("cpu")))
    missing = [source for source in sources.styles if not source.targets.exists()]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Generator(config).parameters())
    return Cost(
        contents=len(sources.contents),
        styles=sources.catalogue,
        extra=len(sources.styles) - sources.catalogue,
        targets=sum(len(source.indices) for source in sources.styles),
        missing=sum(len(source.indices) for source in missing),
        target_seconds=_time_target(recipe, sources, missing[0]) if missing else 0.0,
        parameters=parameters,
        macs=multiply_accumulates(config, *_FRAME),
        single_seconds=single,
        clip_seconds=clip,
        steps=recipe.optimizer.iterations,
        warm_up=recipe.optimizer.warm_up,
    )


def _time_target(recipe: Recipe, sources: Sources, source: Source) -> float:
    made = targets_for_style(source.paths, sources.contents[:2], recipe.teacher)
    next(made)  # it loads the teacher
    began = time.monotonic()
    next(made)
    return time.monotonic() - began


def _time_steps(recipe: Recipe, sources: Sources, processes: Processes) -> tuple[float, float]:
    """Seconds of a step on single frames, and of one on clips; contents stand for targets."""
    styles = tuple(
        Style(each.name, each.paintings, sources.contents, np.arange(len(sources.contents)))
        for each in sources.styles
    )
    faces = face_maps(sources.contents) if recipe.sees_faces else None
    library = Library(sources.contents, styles, sources.catalogue, faces)
    optimizer = recipe.optimizer.model_copy(update={"warm_up": 0, "ramp": 1})
    trainer = Trainer(recipe.model_copy(update={"optimizer": optimizer}), library, processes)
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for index in range(2 * (1 + _STEPS)):
        # Even steps are on clips.
        trainer.progress = replace(trainer.progress, iteration=2 + index)
        began = time.monotonic()
        trainer.step(share=0)
        seconds[index % 2].append(time.monotonic() - began)
    return fmean(seconds[1][1:]), fmean(seconds[0][1:])


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
