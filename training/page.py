"""The report as one HTML page that needs no network: tables, plots, sheets, and clips beside it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from . import judge, metrics, plots, probes, trials
from .artefacts import TEXTURE_FLOOR, TEXTURE_RADIUS
from .clips import RGB
from .dossier import Dossier
from .faces import SMALLEST_EYES
from .probes import Figures
from .report import ONE_STYLE, OURS, PEER, Bar
from .scenes import GHOST_LAG
from .trials import GAPS, Artefacts

_QUALITY = 85


@dataclass(frozen=True)
class Showing:
    """What the page shows of one style.

    Attributes:
        title: its name for people.
        sheet: uint8 RGB [H, W, 3], a frame of every clip in every row of the table.
        clip: the address of the side-by-side clip, relative to the page.
    """

    title: str
    sheet: RGB
    clip: str


@dataclass(frozen=True)
class _Column:
    head: str
    cell: Callable[[Figures, Artefacts], str]


def _number(value: float, digits: int) -> str:
    return "–" if isnan(value) else f"{value:.{digits}f}"


def _gaps(values: Mapping[int, float]) -> str:
    return " / ".join(_number(values[gap], 2) for gap in GAPS)


def _share(value: float) -> str:
    return "–" if isnan(value) else f"{100 * value:.1f} %"


def _grid(looks: Figures) -> str:
    peak = looks.peak
    return f"{peak.period} px, {peak.ratio:.0f}×" if peak.found else "none"


_EVERY_GAP = "/".join(map(str, GAPS))
TABLES: Mapping[str, Sequence[_Column]] = {
    "Looks": (
        _Column("style", lambda x, _: _number(x.style, 3)),
        _Column("grey", lambda x, _: _number(x.grey, 3)),
        _Column("SSIM", lambda x, _: _number(x.ssim, 2)),
        _Column("edges", lambda _, a: _number(a.edges, 2)),
        _Column("faces found", lambda _, a: _share(a.found)),
        _Column("faces moved", lambda _, a: _share(a.moved)),
    ),
    "Steadiness": (
        _Column("warp", lambda x, _: _number(x.warp, 2)),
        _Column(f"warp, gaps {_EVERY_GAP}", lambda _, a: _gaps(a.warps)),
        _Column(f"exact flow, gaps {_EVERY_GAP}", lambda _, a: _gaps(a.exact)),
        _Column("gain", lambda x, _: _number(x.gain, 2)),
        _Column("shift", lambda x, _: _number(x.shift, 1)),
        _Column("drift", lambda _, a: _number(a.drift, 2)),
        _Column("noisy drift", lambda _, a: _number(a.noisy_drift, 2)),
        _Column("ghost", lambda _, a: _number(a.ghost, 2)),
    ),
    "Faults": (
        _Column("flat", lambda x, _: _number(x.flat, 1)),
        _Column("grid", lambda x, _: _grid(x)),
        _Column("border", lambda _, a: _number(a.border, 2)),
        _Column("texture follows", lambda _, a: _number(a.follows, 2)),
        _Column("texture stays", lambda _, a: _number(a.stays, 2)),
    ),
}


def render_page(dossier: Dossier, showings: Mapping[str, Showing], sheet: RGB) -> str:
    """The page.

    Args:
        dossier: the figures.
        showings: style name -> what is shown of it, for every style of the dossier.
        sheet: every style on a frame of every clip, uint8 RGB [H, W, 3].
    """
    over_average, each = dossier.verdicts()
    report, artefacts = dossier.report, dossier.artefacts
    return _environment().from_string(_TEMPLATE).render(
        pack=report.pack,
        passed=dossier.passed,
        styles=list(report.styles),
        showings=showings,
        dossier=dossier,
        peer=report.peer.replace("`", ""),
        one_style=ONE_STYLE,
        averages=_tables(report.averages(), dossier.averages()),
        each={name: _tables(rows, artefacts[name]) for name, rows in report.styles.items()},
        bar_names=[bar.name for bar in over_average],
        bars={who: _by_name(bars) for who, bars in {"average": over_average, **each}.items()},
        plots={
            "Steadiness against style": Markup(plots.steadiness_against_style(dossier)),
            "Ours against its bars": Markup(plots.against_bars(dossier)),
            "Warping error over longer gaps": Markup(plots.warp_over_gaps(dossier)),
            "Drift of a still picture": Markup(plots.drift_over_time(dossier)),
        },
        sheet=sheet,
        names={"ours": OURS, "peer": PEER},
        judge=judge,
        metrics=metrics,
        probes=probes,
        trials=trials,
        texture=(TEXTURE_RADIUS, TEXTURE_FLOOR),
        lag=GHOST_LAG,
        smallest_eyes=SMALLEST_EYES,
    )  # fmt: skip


def picture_address(picture: RGB) -> str:
    """uint8 RGB [H, W, 3] as a data URI (RFC 2397) of a JPEG."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), quality)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _tables(
    looks: Mapping[str, Figures], artefacts: Mapping[str, Artefacts]
) -> dict[str, tuple[list[str], dict[str, list[str]]]]:
    """Table name -> (heads, row name -> cells)."""
    return {
        title: (
            [column.head for column in columns],
            {
                row: [column.cell(figures, artefacts[row]) for column in columns]
                for row, figures in looks.items()
            },
        )
        for title, columns in TABLES.items()
    }


def _by_name(found: Sequence[Bar]) -> dict[str, Bar]:
    return {bar.name: bar for bar in found}


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["address"] = picture_address
    environment.filters["three"] = lambda value: f"{value:.3g}"
    return environment


_TEMPLATE = """\
{% macro tables(found) %}
{% for title, (heads, rows) in found.items() %}
<div class="wide"><table>
<tr><th>{{ title }}</th>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr>
{% for row, cells in rows.items() %}
<tr{% if row == names.ours %} class="ours"{% endif %}><th>{{ row }}</th>
{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Looks of the style pack {{ pack }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1917; background: #fafaf9;
       max-width: 72rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
nav a { margin-right: .9em; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e7e5e4;
         white-space: nowrap; }
tr > :first-child { text-align: left; }
.ours { background: #fff7ed; font-weight: 600; }
.kept { color: #15803d; } .broken { color: #b91c1c; font-weight: 700; }
img, video, svg { max-width: 100%; height: auto; display: block; }
figure { margin: 1.5rem 0; } figcaption { color: #57534e; font-size: .9rem; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1.2rem; }
</style>
</head>
<body>
<h1>Looks of the style pack {{ pack }}</h1>
<p><strong class="{{ 'kept' if passed else 'broken' }}">
{{ 'All bars are kept.' if passed else 'Not every bar is kept.' }}</strong>
Averages over {{ styles | length }} styles; lower is better but for SSIM, edges, faces found and
texture follows.</p>
<nav><a href="#bars">Bars</a>{% for name in styles %}<a href="#{{ name }}">{{ name }}</a>
{% endfor %}<a href="#method">How it is measured</a></nav>
{{ tables(averages) }}
{% for title, plot in plots.items() %}
<figure>{{ plot }}<figcaption>{{ title }}</figcaption></figure>
{% endfor %}
<h2 id="bars">Bars</h2>
<div class="wide"><table>
<tr><th></th>{% for name in bar_names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for who, found in bars.items() %}
<tr><th>{{ who }}</th>
{% for name in bar_names %}
{% if name in found %}{% set bar = found[name] %}
<td class="{{ 'kept' if bar.passed else 'broken' }}">
{{ bar.value | three }} {{ '≥' if bar.at_least else '≤' }} {{ bar.limit | three }}</td>
{% else %}<td>–</td>{% endif %}
{% endfor %}</tr>
{% endfor %}
</table></div>
<p>A style alone may be {{ one_style }} times worse than the bars of the average. What was not
measured has no bar.</p>
<h2>Every style</h2>
<img src="{{ sheet | address }}" alt="Every style on a frame of every clip">
{% for name in styles %}{% set showing = showings[name] %}
<h2 id="{{ name }}">{{ showing.title }}</h2>
<figure><video src="{{ showing.clip }}" controls loop muted playsinline preload="metadata"></video>
<figcaption>Input, {{ names.ours }}, {{ names.peer }}</figcaption></figure>
<img src="{{ showing.sheet | address }}" alt="{{ showing.title }} in every row, on every clip">
{{ tables(each[name]) }}
{% endfor %}
<h2 id="method">How it is measured</h2>
<p>Clips: {{ dossier.report.clips | join('; ') }}. Stills: {{ dossier.stills | join('; ') }}.
Engine of ours: {{ dossier.report.engine }}. Everything is measured on the frames themselves,
before any encoder. Differences are in levels of 255.</p>
<dl>
<dt>style</dt><dd>Distance of the mean and deviation of every feature channel to the painting's,
over the painting's deviation, by {{ judge.NETWORK }}, which training does not use, at
{{ judge.LAYERS | join('; ') }}. The painting is scaled to the frame's area. Median over clips.</dd>
<dt>grey</dt><dd>The same on grey frames whose luminance has the painting's mean and
deviation.</dd>
<dt>SSIM, edges</dt><dd>Structural similarity, and correlation of the gradient magnitudes, of
input and output luma. Median over clips.</dd>
<dt>faces found, faces moved</dt><dd>{{ dossier.faces }}. The share of the input's faces that the
output still has, and how far their landmarks moved, over the eye distance: in what is shown of
each clip, in {{ trials.MOMENTS }} more moments that are spread over it, and in stills. Faces with
less than {{ smallest_eyes }} pixels between the eyes do not count.</dd>
<dt>warp</dt><dd>Mean |output − earlier output moved along the input's optical flow| over visible
pixels, over the same of the input (at least {{ metrics.WARP_FLOOR }}), over the contrast kept,
mean |∇output| / mean |∇input|. Median over clips; pairs across a scene cut do not count.
<em>gaps</em>: the same to the frame so many frames earlier. <em>exact flow</em>: on scenes made
of stills, in which a background and a cut-out move by known whole pixels; median over stills.</dd>
<dt>gain</dt><dd>Temporal deviation of the output over the input's, when a still picture gets
sensor noise of deviation {{ probes.NOISE_SIGMA }}, over the contrast kept. Median over clips.</dd>
<dt>shift</dt><dd>Mean |G(shift x) − shift G(x)| inside, for a still picture moved by 1 to 15
pixels.</dd>
<dt>drift, noisy drift</dt><dd>Mean change of a still picture's output since frame
{{ trials.DRIFT_FROM }}, of the worst channel, frame and still: ours over
{{ dossier.drift_frames }} frames, rows that remember a dozen frames at
most over fewer. With noise, the means over {{ trials.NOISE_WINDOW }} frames and blocks of
{{ trials.NOISE_BLOCK }}×{{ trials.NOISE_BLOCK }} pixels are compared.</dd>
<dt>ghost</dt><dd>A cut-out passes over a still background: mean error behind it {{ lag }} frames
after it left, against the same frame when nothing has moved for {{ trials.SETTLED }} frames.</dd>
<dt>flat, grid</dt><dd>Deviation inside the output of a flat frame, of the worst of
{{ probes.FLAT_COLORS | length }} colours; lines or dots there every 4, 8 or 16 pixels, of at least
{{ metrics.GRID_AMPLITUDE }} levels and {{ metrics.GRID_RATIO }} times the frequencies around.</dd>
<dt>border</dt><dd>Mean difference of the outermost 16 pixels to the same frame seen with a margin
of {{ probes.MARGIN }} pixels, less that of the middle.</dd>
<dt>texture follows, texture stays</dt><dd>What was painted on top of the input's own detail (finer
than {{ texture[0] }} pixels): its correlation over {{ trials.TEXTURE_GAP }} frames of exact motion,
moved along with the things, and left where it was on the screen. Not measured below
{{ texture[1] }} levels.</dd>
</dl>
<p>The rows: <em>ours</em> is what the program does at full strength; <em>peer</em> is
{{ peer }}; <em>peer smoothed</em> averages that over time along the input's motion; the
<em>colour filter</em> gives the photo the painting's colours, sharpens it and averages it over
time in the same way; the <em>untouched photo</em> is the input. Where a cache folder was given, it
held output pictures of the peer, never figures.</p>
</body>
</html>
"""
