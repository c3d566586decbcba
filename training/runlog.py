"""What a run writes down while it goes: a line of terms every few steps, for TensorBoard too, and
a plot of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

LOG, PLOT, EVENTS = "log.jsonl", "losses.svg", "tensorboard"
_COLUMNS = 4
_SMOOTHED = 40  # points of a curve: each is the median of what lies around it
_NOT_TERMS = frozenset({"iteration", "seconds"})


class RunLog:
    """The log of the run in a folder; a run that goes on goes on with its log."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._file = (run / LOG).open("a")
        self._board = SummaryWriter(str(run / EVENTS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, iteration: int, seconds: float, values: Mapping[str, float]) -> None:
        """Write down the terms of a step."""
        terms = {name: round(value, 6) for name, value in values.items()}
        line = {"iteration": iteration, "seconds": round(seconds, 1), **terms}
        print(json.dumps(line), file=self._file, flush=True)
        for name, value in values.items():
            self._board.add_scalar(f"loss/{name}", value, iteration)

    def plot(self) -> None:
        """Draw every term over the iterations, as `losses.svg`."""
        self._board.flush()
        draw_losses(self._run / LOG, self._run / PLOT)


def draw_losses(log: Path, plot: Path) -> None:
    """Draw what a log says; where it says nothing yet, nothing is drawn."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in log.read_text().splitlines():
        step = json.loads(line)
        for name, value in step.items():
            if name not in _NOT_TERMS:
                points[name].append((step["iteration"], value))
    if not points:
        return
    rows = -(-len(points) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, (name, values) in zip(grid, points.items(), strict=False):
        x, y = np.transpose(values)
        axes.plot(x, y, color="#d6d3d1", linewidth=0.6)
        parts = min(_SMOOTHED, len(x))
        smooth = [[np.median(part) for part in np.array_split(each, parts)] for each in (x, y)]
        axes.plot(*smooth, color="#c2410c", linewidth=1.2)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in list(figure.axes)[len(points) :]:
        axes.remove()
    FigureCanvasSVG(figure).print_svg(str(plot))  # type: ignore[no-untyped-call]
