"""The looks report: figures of every style beside its peers, held against bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from . import judge, metrics, probes
from .metrics import worst_peak
from .probes import Figures
from .stylists import PEER_PACKAGE

OURS, PEER, SMOOTHED, FILTER, UNTOUCHED = (
    "ours",
    "peer",
    "peer smoothed",
    "colour filter",
    "untouched photo",
)
ROWS = (OURS, PEER, SMOOTHED, FILTER, UNTOUCHED)
DEFAULT_PEER = f"`{PEER_PACKAGE}` in its arbitrary mode with the same painting, frame by frame"

STYLE_OVER_PEER = 1.5
GREY_OVER_FILTER = 0.75
WARP = 1.6
GAIN = 0.7
SSIM = 0.5
SHIFT = 4.0
ONE_STYLE = 1.25  # no style may be worse than this many times a bar

Rows = Mapping[str, Figures]


@dataclass(frozen=True)
class Bar:
    """One figure of ours and what it is held against."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def bars(rows: Rows, slack: float = 1.0) -> list[Bar]:
    """Hold the row `OURS` against the bars, each `slack` times as wide."""
    ours = rows[OURS]
    return [
        Bar("style", ours.style, STYLE_OVER_PEER * rows[PEER].style * slack),
        Bar("grey", ours.grey, GREY_OVER_FILTER * rows[FILTER].grey * slack),
        Bar("warp", ours.warp, WARP * slack),
        Bar("gain", ours.gain, GAIN * slack),
        Bar("ssim", ours.ssim, SSIM / slack, at_least=True),
        Bar("shift", ours.shift, SHIFT * slack),
        Bar("grid", ours.peak.ratio if ours.peak.found else 0.0, 0.0),
    ]


def average(figures: Sequence[Figures]) -> Figures:
    """The mean of every figure over styles; the grid is the worst one's."""

    def mean(name: str) -> float:
        return fmean(getattr(each, name) for each in figures)

    return Figures(
        style=mean("style"),
        grey=mean("grey"),
        warp=mean("warp"),
        gain=mean("gain"),
        ssim=mean("ssim"),
        shift=mean("shift"),
        flat=mean("flat"),
        drift=mean("drift"),
        peak=worst_peak([each.peak for each in figures]),
    )


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        pack: the pack's name.
        styles: style name -> row name (`ROWS`) -> figures.
        engine: what ran the pack.
        clips: name and frame size of each clip, in words.
        peer: what the row `PEER` is, in words.
    """

    pack: str
    styles: Mapping[str, Rows]
    engine: str
    clips: Sequence[str]
    peer: str = DEFAULT_PEER

    def averages(self) -> dict[str, Figures]:
        """Row name -> figures averaged over the styles."""
        return {row: average([rows[row] for rows in self.styles.values()]) for row in ROWS}

    def verdicts(self) -> tuple[list[Bar], dict[str, list[Bar]]]:
        """The bars over the average, and those of each style, which are 1.25 times as wide."""
        return bars(self.averages()), {
            name: bars(rows, ONE_STYLE) for name, rows in self.styles.items()
        }

    @property
    def passed(self) -> bool:
        """Whether every bar is kept."""
        over_average, each = self.verdicts()
        return all(bar.passed for found in (over_average, *each.values()) for bar in found)

    def as_dict(self) -> dict[str, object]:
        """All of it as plain values for JSON."""
        over_average, each = self.verdicts()
        return {
            "pack": self.pack,
            "passed": self.passed,
            "engine": self.engine,
            "clips": list(self.clips),
            "judge": {"network": judge.NETWORK, "layers": list(judge.LAYERS)},
            "average": {row: figures.as_dict() for row, figures in self.averages().items()},
            "bars": [_bar_dict(bar) for bar in over_average],
            "styles": {
                name: {
                    "rows": {row: figures.as_dict() for row, figures in rows.items()},
                    "bars": [_bar_dict(bar) for bar in each[name]],
                }
                for name, rows in self.styles.items()
            },
        }

    def markdown(self) -> str:
        """All of it as a page."""
        over_average, each = self.verdicts()
        parts = [
            f"# Looks of the style pack `{self.pack}`",
            f"**{'All bars are kept.' if self.passed else 'Not every bar is kept.'}** "
            f"Averages over {len(self.styles)} styles and {len(self.clips)} clips; "
            "lower is better but for SSIM.",
            _figure_table("", self.averages()),
            "## Bars",
            _bar_table({"average": over_average, **each}),
            "A style alone may be 1.25 times worse than the bars of the average; "
            "what breaks a bar stands in bold.",
            "## Style by style",
            *(_figure_table(name, rows) for name, rows in self.styles.items()),
            _method(self),
        ]
        return "\n\n".join(parts) + "\n"


def _bar_dict(bar: Bar) -> dict[str, object]:
    return {
        "figure": bar.name,
        "value": bar.value,
        "limit": bar.limit,
        "at_least": bar.at_least,
        "passed": bar.passed,
    }


def _figure_table(title: str, rows: Rows) -> str:
    lines = [
        f"| {title} | style | grey | warp | gain | SSIM | shift | flat | drift | grid |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, x in rows.items():
        grid = f"{x.peak.period} px, {x.peak.ratio:.0f}x" if x.peak.found else "none"
        lines.append(
            f"| {name} | {x.style:.3f} | {x.grey:.3f} | {x.warp:.2f} | {x.gain:.2f} "
            f"| {x.ssim:.2f} | {x.shift:.1f} | {x.flat:.1f} | {x.drift:.2f} | {grid} |"
        )
    return "\n".join(lines)


def _bar_table(verdicts: Mapping[str, Sequence[Bar]]) -> str:
    names = [bar.name for bar in next(iter(verdicts.values()))]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, found in verdicts.items():
        cells = [
            f"{'' if bar.passed else '**'}{bar.value:.3g} {'≥' if bar.at_least else '≤'} "
            f"{bar.limit:.3g}{'' if bar.passed else '**'}"
            for bar in found
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _method(report: Report) -> str:
    return f"""## How it is measured

Clips: {"; ".join(report.clips)}. Engine of ours: {report.engine}. Everything is measured on
the frames themselves, before any encoder. Differences are in levels of 255.

- **style**: distance of the mean and deviation of every feature channel to the painting's, over
  the painting's deviation, by {judge.NETWORK}, which training does not use, at these layers:
  {"; ".join(judge.LAYERS)}. The painting is scaled to the frame's area. Median over clips.
- **grey**: the same on grey frames whose luminance has the painting's mean and deviation.
- **warp**: mean |output − previous output moved along the input's optical flow| over visible
  pixels, over the same of the input (at least {metrics.WARP_FLOOR}), over the contrast kept,
  mean |∇output| / mean |∇input|. Median over clips. Frame pairs across a scene cut do not count.
- **gain**: temporal deviation of the output over the input's, when a still picture gets sensor
  noise of deviation {probes.NOISE_SIGMA:g} in every frame, over the contrast kept. Median over
  clips.
- **SSIM**: of input and output luma. Median over clips.
- **shift**: mean |G(shift x) − shift G(x)| inside, for a still picture moved by 1 to 15 pixels.
- **flat**: deviation inside the output of a flat frame; the worst of {len(probes.FLAT_COLORS)}
  colours.
- **drift**: mean change of a still picture's output between frame {probes.DRIFT_FROM} and frame
  {probes.DRIFT_FRAMES}; the worst clip's.
- **grid**: lines or dots every 4, 8 or 16 pixels on flat frames: an amplitude of at least
  {metrics.GRID_AMPLITUDE} levels and {metrics.GRID_RATIO:g} times the frequencies around it.

The rows: *ours* is what the program does at full strength; *peer* is
{report.peer};
*peer smoothed* averages that over time along the input's motion; the *colour filter* gives the
photo the painting's colours, sharpens it and averages it over time in the same way; the
*untouched photo* is the input. Where a cache folder was given, it held output pictures of the
peer, never figures."""
