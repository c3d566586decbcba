"""An exploration that goes on from sheet to sheet: what was shown and what pleased, on disk."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamfx.demo import draw
from streamfx.errors import InputError
from streamfx.explore import MOST_CANDIDATES, MOST_KEPT, explore
from streamfx.expressions import parse_expression, resolve
from streamfx.files import write_file
from streamfx.pictures import read_picture
from streamfx.sheets import RGB, picture_grid, write_picture
from streamfx.styles import DEFAULT, find_pack
from streamfx.stylizer import Stylizer

_SCENE = (640, 360)
_SCENE_TIME = 3.0
_COLUMNS = 3
_LARGEST_NOTES = 1 << 20


class Search(BaseModel):
    """Where an exploration stands.

    Attributes:
        pack: name or file of the pack.
        like: what is varied; None = latent styles.
        picture: the file that the styles are shown on; None = the demo scene.
        seed, count, generation: see `streamfx.explore.explore`.
        shown: the expressions on the last sheet, in its order.
        kept: those that pleased, the latest last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pack: str = DEFAULT
    like: str | None = None
    picture: str | None = None
    seed: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 9
    generation: Annotated[int, Field(ge=0)] = 0
    shown: Annotated[tuple[str, ...], Field(max_length=MOST_CANDIDATES)] = ()
    kept: Annotated[tuple[str, ...], Field(max_length=MOST_KEPT)] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            InputError: there is no such file, or it is something else.
        """
        try:
            with path.open("rb") as file:
                return cls.model_validate_json(file.read(_LARGEST_NOTES))
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror or error}; draw a first sheet without "
                "--keep and --more"
            ) from error
        except ValidationError as error:
            raise InputError(f"{path} is not the notes of an exploration") from error

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            StreamFXError: it cannot be written there.
        """
        write_file(path, self.model_dump_json(indent=1).encode())

    def first(self) -> Self:
        """The same with its first sheet."""
        return self._shown(0)

    def keep(self, numbers: tuple[int, ...]) -> Self:
        """The same, with styles of the last sheet kept, given by their numbers from 1.

        Raises:
            InputError: there is no such number on the sheet.
        """
        wrong = [number for number in numbers if not 1 <= number <= len(self.shown)]
        if wrong:
            raise InputError(
                f"the last sheet shows the styles 1 to {len(self.shown)}; there is no {wrong[0]}"
            )
        chosen = [self.shown[number - 1] for number in numbers]
        kept = [each for each in self.kept if each not in chosen] + chosen
        return self.model_copy(update={"kept": tuple(kept[-MOST_KEPT:])})

    def more(self) -> Self:
        """The same with the next sheet, bred from what was kept of the last, or else the latest."""
        return self._shown(self.generation + 1)

    def _shown(self, generation: int) -> Self:
        # A search that drags all of its past along does not arrive.
        latest = [text for text in self.kept if text in self.shown]
        parents = latest or self.kept[-4:]
        shown = explore(self.like, parents, generation=generation, seed=self.seed, count=self.count)
        return self.model_copy(update={"generation": generation, "shown": tuple(shown)})


def new_seed() -> int:
    """A seed that nobody chose."""
    return secrets.randbelow(100_000)


def draw_sheet(search: Search, output: Path, backend: str = "auto") -> None:
    """Draw the styles that a search shows, each with its number, as PNG or JPEG.

    Raises:
        InputError: the pack, a style or the picture cannot be used, or the suffix is another.
        EngineError: no engine can be had.
        StreamFXError: it cannot be written there.
    """
    pack = find_pack(search.pack)
    original = (
        draw(_SCENE_TIME, *_SCENE) if search.picture is None else read_picture(search.picture)
    )
    cells: dict[str, RGB] = {}
    with Stylizer(pack.styles[0].name, pack=pack, backend=backend) as stylizer:
        for number, expression in enumerate(search.shown, start=1):
            stylizer.code = resolve(parse_expression(expression), pack)
            cells[str(number)] = stylizer.picture(original)
    write_picture(output, picture_grid(cells, columns=_COLUMNS, width=420))
