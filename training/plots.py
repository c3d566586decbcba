"""Plots of the report page, as SVG to be put into HTML; nothing in them comes from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from .dossier import GREY_OVER_FILTER, STYLE_OVER_PEER, WARP, Dossier
from .report import FILTER, ONE_STYLE, OURS, PEER, ROWS, SMOOTHED, UNTOUCHED
from .trials import GAPS

COLORS = {
    OURS: "#c2410c",
    PEER: "#1d4ed8",
    SMOOTHED: "#0891b2",
    FILTER: "#7c3aed",
    UNTOUCHED: "#57534e",
}
_MARKS = dict(zip(ROWS, "osD^X", strict=True))
_LOOK: Any = {  # Matplotlib spells its keys out as types
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e7e5e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@mpl.rc_context(_LOOK)
def steadiness_against_style(dossier: Dossier) -> str:
    """Warping error against style distance: in colour, and in grey of equal luminance.

    A small mark for each style, a large one for the average; dashed lines at the bars.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    averages = dossier.report.averages()
    limits = {
        "style": STYLE_OVER_PEER * averages[PEER].style,
        "grey": GREY_OVER_FILTER * averages[FILTER].grey,
    }
    titles = {"style": "style distance", "grey": "style distance, grey frames"}
    for axes, (name, title) in zip((left, right), titles.items(), strict=True):
        for row in ROWS:
            each = [rows[row] for rows in dossier.report.styles.values()]
            shape = {"color": COLORS[row], "marker": _MARKS[row]}
            xs, ys = [getattr(x, name) for x in each], [x.warp for x in each]
            axes.scatter(xs, ys, s=16, alpha=0.4, linewidths=0, **shape)
            mean = averages[row]
            axes.scatter([getattr(mean, name)], [mean.warp], s=90, label=row, **shape)
        axes.axvline(limits[name], color=COLORS[OURS], linestyle="--", linewidth=1)
        axes.axhline(WARP, color=COLORS[OURS], linestyle="--", linewidth=1)
        axes.set_xlabel(f"{title}: nearer to the painting ←")
        axes.set_ylabel("warping error: steadier ↓")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    left.legend()
    return _svg(figure, "steadiness")


@mpl.rc_context(_LOOK)
def warp_over_gaps(dossier: Dossier) -> str:
    """Warping error over gaps of 1, 5 and 10 frames: clips with estimated flow, exact flow."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    averages = dossier.averages()
    titles = {"warps": "clips, flow from the input", "exact": "stills in motion, exact flow"}
    for each, (name, title) in zip(axes, titles.items(), strict=True):
        for row in ROWS:
            values = [getattr(averages[row], name)[gap] for gap in GAPS]
            each.plot(GAPS, values, color=COLORS[row], marker=_MARKS[row], label=row)
        each.set_title(title)
        each.set_xticks(GAPS)
        each.set_xlabel("gap in frames")
        each.set_ylim(bottom=0)
    axes[0].set_ylabel("warping error")
    axes[0].legend()
    return _svg(figure, "gaps")


@mpl.rc_context(_LOOK)
def drift_over_time(dossier: Dossier) -> str:
    """How far ours wanders on a still picture, with and without noise; a line for each style."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for index, (each, title) in enumerate(zip(axes, ("still", "still with noise"), strict=True)):
        for number, (name, rows) in enumerate(dossier.artefacts.items()):
            drifts: Mapping[int, Sequence[float]] = rows[OURS].drifts
            shape = {"color": mpl.colormaps["tab20"](number % 20), "marker": "."}
            each.plot(list(drifts), [d[index] for d in drifts.values()], label=name, **shape)
        each.set_title(title)
        each.set_xscale("log")
        each.set_xlabel("frame")
        each.set_ylim(bottom=0)
    axes[0].set_ylabel("drift since frame 10, levels")
    axes[1].legend(fontsize=8, ncols=2)
    return _svg(figure, "drift")


@mpl.rc_context(_LOOK)
def against_bars(dossier: Dossier) -> str:
    """Every figure of ours over its bar: a dot for each style, a mark for the average."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots()
    average, each = dossier.verdicts()
    names = [bar.name for bar in average if bar.limit and bar.value]
    for bars, size, alpha, label, slack in (
        *((found, 16, 0.4, None, ONE_STYLE) for found in each.values()),
        (average, 90, 1.0, "average", 1.0),
    ):
        known = {bar.name: bar for bar in bars if bar.name in names and bar.value}
        ratios = [
            bar.limit * slack / bar.value if bar.at_least else slack * bar.value / bar.limit
            for bar in known.values()
        ]
        at = [names.index(name) for name in known]
        axes.scatter(at, ratios, s=size, alpha=alpha, color=COLORS[OURS], label=label, linewidths=0)
    axes.axhline(1.0, color=COLORS[UNTOUCHED], linewidth=1, label="bar of the average")
    axes.axhline(ONE_STYLE, color=COLORS[UNTOUCHED], linestyle="--", label="bar of one style")
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    axes.set_ylabel("figure over its bar: better ↓")
    axes.set_ylim(bottom=0)
    axes.legend()
    return _svg(figure, "bars")


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an `<svg>` element; the same figure gives the same text."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_figure(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]
