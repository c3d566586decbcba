"""Measure every style of a pack beside its peers: `streamfx evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from .probes import Figures, Probe, make_probe, measure
from .report import Report
from .sheets import clip_sheet
from .stylists import ColorFilter, PackStylist, Peer, Smoothed, Stylist, untouched

Progress = Callable[[str, float], None]


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
    *,
    peer_cache: Path | None = None,
    backend: str = "auto",
    precision: Precision = "auto",
    progress: Progress = lambda _label, _share: None,
) -> Report:
    """Measure a pack; the same pack, clips and engine give the same report.

    Args:
        pack: what to measure.
        clips: at least one.
        paintings: style name -> uint8 RGB [H, W, 3].
        peer_cache: a folder that keeps the peer's output pictures; None keeps none.
        backend, precision: see `Stylizer`.
        progress: is told what comes next and the share that is done, 0..1.

    Raises:
        InputError: a clip cannot be measured.
        StreamFXError: the judge network or the peer is not installed.
        EngineError: no engine can be had.
    """
    with _one_thread():
        return _evaluate(
            pack,
            clips,
            paintings,
            peer_cache=peer_cache,
            backend=backend,
            precision=precision,
            progress=progress,
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's flow and the sums of torch depend on how many threads share a frame."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _evaluate(
    pack: Pack,
    clips: Sequence[Clip],
    paintings: Mapping[str, RGB],
    *,
    peer_cache: Path | None,
    backend: str,
    precision: Precision,
    progress: Progress,
) -> Report:
    progress("clips", 0.0)
    probes = [make_probe(clip, seed) for seed, clip in enumerate(clips)]
    judge = Judge()
    styles: dict[str, dict[str, Figures]] = {}
    engine = ""
    total = len(paintings) * len(rows.ROWS)
    for name, painting in paintings.items():
        targets = [judge.target(painting, _area(probe)) for probe in probes]
        with Stylizer(name, pack=pack, backend=backend, precision=precision) as stylizer:
            info = stylizer.prepare(*probes[0].still.shape[:2])
            engine = f"{info.backend} {info.version}, {info.precision}, {info.device}"
            styles[name] = {}
            for row, stylist in _stylists(stylizer, painting, peer_cache).items():
                done = len(styles) - 1 + len(styles[name]) / len(rows.ROWS)
                progress(f"{name}: {row}", done * len(rows.ROWS) / total)
                styles[name][row] = measure(stylist, probes, judge, targets)
    progress("done", 1.0)
    sizes = [f"{p.name} ({p.still.shape[1]}x{p.still.shape[0]})" for p in probes]
    return Report(pack.name, styles, engine, sizes)


def _stylists(stylizer: Stylizer, painting: RGB, peer_cache: Path | None) -> dict[str, Stylist]:
    peer = Peer(painting, peer_cache)
    return {
        rows.OURS: PackStylist(stylizer),
        rows.PEER: peer,
        rows.SMOOTHED: Smoothed(peer),
        rows.FILTER: Smoothed(ColorFilter(painting)),
        rows.UNTOUCHED: untouched,
    }


def _area(probe: Probe) -> int:
    height, width = probe.still.shape[:2]
    return int(height * width)


def pack_sheet(
    pack: Pack,
    paintings: Mapping[str, RGB],
    clips: Sequence[Clip],
    *,
    backend: str = "auto",
    precision: Precision = "auto",
) -> RGB:
    """Every style of a pack on a frame of every clip, as a picture: see `clip_sheet`."""
    with ExitStack() as stack:
        stylists = {
            name: PackStylist(
                stack.enter_context(Stylizer(name, pack=pack, backend=backend, precision=precision))
            )
            for name in paintings
        }
        return clip_sheet(stylists, paintings, clips)
