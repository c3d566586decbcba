"""Everything that was measured of a pack, and what it is held against: the report page's figures.

`Report` says what the Markdown page says; this adds the artefacts, and bars for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from . import judge
from .probes import Figures
from .report import FILTER, ONE_STYLE, OURS, PEER, ROWS, Bar, Report, Rows
from .trials import GAPS, Artefacts, mean

STYLE_OVER_PEER = 1.0
GREY_OVER_FILTER = 0.6
WARP = 1.3
GAIN = 0.5
SSIM = 0.5
SHIFT = 2.5
GHOST = 2.0
DRIFT = 1.0
FACES_FOUND = 0.95
FACES_MOVED = 0.03

ArtefactRows = Mapping[str, Artefacts]


@dataclass(frozen=True)
class Dossier:
    """What was measured.

    Attributes:
        report: the looks, style by style and row by row.
        artefacts: style name -> row name -> artefacts.
        stills: name and size of each picture that scenes were made of, in words.
        drift_frames: for how many frames ours was watched.
        faces: detector and package, or why there is none.
    """

    report: Report
    artefacts: Mapping[str, ArtefactRows]
    stills: Sequence[str]
    drift_frames: int
    faces: str

    def averages(self) -> dict[str, Artefacts]:
        """Row name -> artefacts averaged over the styles."""
        return {
            row: average_artefacts([rows[row] for rows in self.artefacts.values()]) for row in ROWS
        }

    def verdicts(self) -> tuple[list[Bar], dict[str, list[Bar]]]:
        """The bars over the average, and those of each style, which are 1.25 times as wide."""
        return bars(self.report.averages(), self.averages()[OURS]), {
            name: bars(rows, self.artefacts[name][OURS], ONE_STYLE)
            for name, rows in self.report.styles.items()
        }

    @property
    def passed(self) -> bool:
        """Whether every bar is kept."""
        over_average, each = self.verdicts()
        return all(bar.passed for found in (over_average, *each.values()) for bar in found)

    def as_dict(self) -> dict[str, object]:
        """All of it as plain values for JSON; what was not measured is None."""
        over_average, each = self.verdicts()
        averages, artefacts = self.report.averages(), self.averages()
        found = {
            "pack": self.report.pack,
            "passed": self.passed,
            "engine": self.report.engine,
            "peer": _plain(self.report.peer),
            "judge": {"network": judge.NETWORK, "layers": list(judge.LAYERS)},
            "faces": self.faces,
            "drift_frames": self.drift_frames,
            "clips": list(self.report.clips),
            "stills": list(self.stills),
            "average": {
                row: {**averages[row].as_dict(), **artefacts[row].as_dict()} for row in ROWS
            },
            "bars": _bar_dict(over_average),
            "styles": {
                name: {
                    "rows": {
                        row: {**figures.as_dict(), **self.artefacts[name][row].as_dict()}
                        for row, figures in rows.items()
                    },
                    "bars": _bar_dict(each[name]),
                }
                for name, rows in self.report.styles.items()
            },
        }
        return _known(found)

    def summary(self) -> dict[str, object]:
        """What a pack says of itself in its manifest: averages of all rows, ours style by style."""
        whole = self.as_dict()
        kept = ("engine", "peer", "judge", "faces", "drift_frames", "clips", "stills", "passed")
        averages, artefacts = self.report.averages(), self.averages()
        return _known(
            {
                **{name: whole[name] for name in kept},
                "average": {row: _figures(averages[row], artefacts[row]) for row in ROWS},
                "styles": {
                    name: _figures(rows[OURS], self.artefacts[name][OURS])
                    for name, rows in self.report.styles.items()
                },
            }
        )


def bars(rows: Rows, ours: Artefacts, slack: float = 1.0) -> list[Bar]:
    """Hold ours against the bars, each `slack` times as wide; what was not measured has none."""
    looks = rows[OURS]
    found = [
        Bar("style", looks.style, STYLE_OVER_PEER * rows[PEER].style * slack),
        Bar("grey", looks.grey, GREY_OVER_FILTER * rows[FILTER].grey * slack),
        Bar("ssim", looks.ssim, SSIM / slack, at_least=True),
        Bar("warp", looks.warp, WARP * slack),
        Bar("gain", looks.gain, GAIN * slack),
        Bar("shift", looks.shift, SHIFT * slack),
        Bar("grid", looks.peak.ratio if looks.peak.found else 0.0, 0.0),
        Bar("texture", ours.follows, ours.stays / slack, at_least=True),
        Bar("ghost", ours.ghost, GHOST * slack),
        Bar("drift", ours.drift, DRIFT * slack),
        Bar("noisy drift", ours.noisy_drift, DRIFT * slack),
        Bar("faces found", ours.found, FACES_FOUND / slack, at_least=True),
        Bar("faces moved", ours.moved, FACES_MOVED * slack),
    ]
    return [bar for bar in found if not isnan(bar.value)]


def average_artefacts(figures: Sequence[Artefacts]) -> Artefacts:
    """The mean of every figure over styles, of those in which it was measured."""

    def over(name: str) -> float:
        return mean([getattr(each, name) for each in figures])

    def over_gaps(name: str) -> dict[int, float]:
        return {gap: mean([getattr(each, name)[gap] for each in figures]) for gap in GAPS}

    return Artefacts(
        edges=over("edges"),
        warps=over_gaps("warps"),
        exact=over_gaps("exact"),
        border=over("border"),
        drift=over("drift"),
        noisy_drift=over("noisy_drift"),
        ghost=over("ghost"),
        follows=over("follows"),
        stays=over("stays"),
        faces=figures[0].faces,
        found=over("found"),
        moved=over("moved"),
        drifts={
            frame: (
                mean([each.drifts[frame][0] for each in figures]),
                mean([each.drifts[frame][1] for each in figures]),
            )
            for frame in figures[0].drifts
        },
    )


def _figures(looks: Figures, artefacts: Artefacts) -> dict[str, object]:
    """The figures without those of every clip, to four digits."""
    both = {**looks.as_dict(), **artefacts.as_dict()}
    for name in ("clips", "trials", "drifts"):
        del both[name]
    return {name: _rounded(value) for name, value in both.items()}


def _rounded(value: object) -> object:
    if isinstance(value, float) and isfinite(value):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return value


def _known(value: dict[str, object]) -> dict[str, object]:
    """The same with None for every number that JSON does not have, and text for every key."""

    def clean(each: object) -> object:
        if isinstance(each, dict):
            return {str(key): clean(inner) for key, inner in each.items()}
        if isinstance(each, list | tuple):
            return [clean(inner) for inner in each]
        return None if isinstance(each, float) and not isfinite(each) else each

    return {str(key): clean(each) for key, each in value.items()}


def _plain(words: str) -> str:
    return " ".join(words.replace("`", "").split())


def _bar_dict(found: Sequence[Bar]) -> list[dict[str, object]]:
    return [
        {
            "figure": bar.name,
            "value": bar.value,
            "limit": bar.limit,
            "at_least": bar.at_least,
            "passed": bar.passed,
        }
        for bar in found
    ]
