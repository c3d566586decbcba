"""A training run: from a recipe and two folders to a style pack.

The run folder holds `checkpoint.pt`, the terms of the objective (`log.jsonl`, `losses.svg`, and
`tensorboard/` for TensorBoard) and `samples/` (sheets of what the averaged networks make of some
contents).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, track

from streamfx.brushwork import Paint
from streamfx.demo import draw
from streamfx.errors import InputError
from streamfx.sheets import contact_sheet
from streamfx.styles import Pack
from streamfx.training.brushwork import fit_brushwork
from streamfx.training.codes import CodeRefiner
from streamfx.training.color import planes_to_rgb, rgb_to_planes
from streamfx.training.export import export_pack
from streamfx.training.goodness import how_good
from streamfx.training.library import Library, Sources, build_library, read_sources
from streamfx.training.mapping import train_mapping
from streamfx.training.networks import Networks
from streamfx.training.parallel import Processes
from streamfx.training.recipes import Recipe
from streamfx.training.runlog import RunLog
from streamfx.training.spread import Sight
from streamfx.training.trainer import Trainer

CHECKPOINT = "checkpoint.pt"
TARGETS = "targets"
SHOWN = ("teacher_l1", "warp", "style", "adversarial", "discriminator")
LOG_EVERY = 25  # odd, so that both kinds of batches are logged
SAMPLES = 4
THUMBNAIL_WIDTH = 320


def train(
    recipe: Recipe,
    content: Path | None,
    pictures: Path,
    output: Path,
    run: Path,
    *,
    attributes: str = "",
    minutes: float | None = None,
    checkpoint_minutes: float = 3,
    threads: int | None = None,
    processes: Processes | None = None,
    console: Console,
) -> Pack:
    """Train the recipe's networks and write the pack; goes on from the run's checkpoint.

    Args:
        content, attributes: what restyling is learnt on, see `streamfx.training.contents`.
        pictures: folder of the style pictures that the recipe names.
        output: NAME.stylepack.
        run: folder of checkpoints, log and samples; made if it is not there.
        minutes: of training steps, over all sittings; by default the recipe's iterations count.
        processes: those that share the work; the first one writes what there is to write.

    Raises:
        InputError: a folder, picture, checkpoint or the output cannot be used.
        KeyboardInterrupt: stopped by the user; the checkpoint is written first.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        (run / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the run folder {run}: {error.strerror}") from None
    processes = Processes() if processes is None else processes
    processes.check(recipe)
    checkpoint = run / CHECKPOINT
    with _progress(console) as bar:
        sources = read_sources(recipe, content, pictures, run / TARGETS, attributes=attributes)
        with processes.first_before_others():
            library = _library(recipe, sources, bar)
        trainer = Trainer(recipe, library, processes)
        if checkpoint.exists():
            trainer.load(checkpoint)
            bar.console.print(f"going on from iteration {trainer.progress.iteration}")
        task = bar.add_task("training", total=1.0)
        saved = time.monotonic()
        try:
            with RunLog(run) if processes.first else nullcontext() as log:
                while (share := processes.agree(_share(trainer, minutes))) < 1:
                    began = time.monotonic()
                    values = trainer.step(share)
                    trainer.progress.seconds += time.monotonic() - began
                    bar.update(task, completed=share, description=_described(trainer, values))
                    if log is None:
                        continue
                    if trainer.progress.iteration % LOG_EVERY == 0:
                        log.write(trainer.progress.iteration, trainer.progress.seconds, values)
                    if time.monotonic() - saved > 60 * checkpoint_minutes:
                        trainer.save(checkpoint)
                        _write_samples(run, trainer)
                        log.plot()
                        saved = time.monotonic()
                if log is not None:
                    log.plot()
        finally:
            if processes.first:
                trainer.save(checkpoint)
        if processes.first:
            _write_samples(run, trainer)
    with processes.first_before_others():
        return _finish(trainer, output, console) if processes.first else Pack.open(output)


def _finish(trainer: Trainer, output: Path, console: Console) -> Pack:
    """Train what the pack needs besides, write it and say how good it became."""
    recipe, library = trainer.recipe, trainer.library
    for module in trainer.average.modules():
        module.cpu()
    figures: dict[str, Any] = {
        "iterations": trainer.progress.iteration,
        "minutes": round(trainer.progress.seconds / 60, 1),
        "losses": {name: round(value, 5) for name, value in trainer.progress.losses.items()},
    }
    brushwork: list[Paint] = []
    if recipe.brushwork:
        console.print("cutting the brushwork of the styles")
        brushwork = fit_brushwork(
            trainer.average, library, trainer.goals.cpu(), recipe.brushwork, recipe.seed
        )
    if recipe.codes.steps:
        brushwork = _refine(trainer, brushwork, console)
    console.print("training the mapping network of the latent styles")
    mapping, distance = train_mapping(
        trainer.average.encoder,
        trainer.average.codes.weight,
        [painting for style in library.styles for painting in style.paintings],
        seed=recipe.seed,
        sight=Sight(trainer.average.generator, library.contents),
    )
    figures["mapping_distance"] = round(distance, 4)
    thumbnails = _thumbnails(trainer.average, recipe)
    pack = export_pack(output, recipe, trainer.average, figures, thumbnails, mapping, brushwork)
    for style in library.styles[: library.catalogue]:
        goodness = how_good(pack, style.name, style.paintings, library.contents)
        console.print(f"{style.name}: {goodness}")
    return pack


def _refine(trainer: Trainer, brushwork: list[Paint], console: Console) -> list[Paint]:
    """Refine the catalogue's codes; returns the brushwork with its new codes."""
    networks = trainer.average
    refine = CodeRefiner(networks, trainer.library, trainer.goals.cpu(), trainer.recipe)
    if trainer.recipe.codes.faces and not refine.portraits:
        console.print("no content shows a face: faces do not count")
    styles = range(trainer.library.catalogue)
    for number in track(styles, "refining the styles' codes", console=console):
        refine(number, brushwork[number] if brushwork else None)
    codes = networks.codes.weight.detach().numpy()
    return [replace(paint, code=codes[number].copy()) for number, paint in enumerate(brushwork)]


def _share(trainer: Trainer, minutes: float | None) -> float:
    if minutes is None:
        return trainer.progress.iteration / trainer.recipe.optimizer.iterations
    return trainer.progress.seconds / (60 * minutes)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        console=console,
    )


def _library(recipe: Recipe, sources: Sources, bar: Progress) -> Library:
    tasks: dict[str, TaskID] = {}

    def show(style: str, done: int, total: int) -> None:
        if style not in tasks:
            tasks[style] = bar.add_task(f"targets of {style}", total=total)
        bar.update(tasks[style], completed=done, visible=done < total)

    return build_library(recipe, sources, show)


def _described(trainer: Trainer, values: Mapping[str, float]) -> str:
    shown = "  ".join(f"{name} {values[name]:.3f}" for name in SHOWN if name in values)
    return f"iteration {trainer.progress.iteration}  {shown}"


@torch.no_grad()
def restyle(networks: Networks, contents: NDArray[np.uint8], style: int) -> NDArray[np.uint8]:
    """Restyle pictures [N,S,S,3] in a catalogue style, without a past; for samples."""
    rgb = torch.from_numpy(np.ascontiguousarray(contents)).movedim(-1, 1).float() / 255
    planes = rgb_to_planes(rgb).to(networks.codes.weight.device)
    codes = networks.codes.weight[style].expand(len(planes), -1)
    generator = networks.generator
    strength = planes.new_ones(len(planes), 1)
    out = generator(planes, codes, strength)
    shown = planes_to_rgb(out).clamp(0, 1).movedim(1, -1).cpu()
    pictures: NDArray[np.uint8] = (shown * 255).round().byte().numpy()
    return pictures


def _write_samples(run: Path, trainer: Trainer) -> None:
    library = trainer.library
    step = max(1, len(library.contents) // SAMPLES)
    contents = library.contents[::-step][:SAMPLES]
    names = [style.name for style in library.styles[: library.catalogue]]
    columns = [restyle(trainer.average, contents, number) for number in range(len(names))]
    rows = [list(row) for row in zip(contents, *columns, strict=True)]
    sheet = contact_sheet(rows, [""] * len(rows), ["content", *names], width=256)
    path = run / "samples" / f"{trainer.progress.iteration:06d}.jpg"
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _thumbnails(networks: Networks, recipe: Recipe) -> dict[str, bytes]:
    """The program's own demo scene in every catalogue style, as JPEG."""
    # Twice the size, so that the marks on a thumbnail are as fine as on a whole frame.
    scene = draw(2.0, 2 * THUMBNAIL_WIDTH, THUMBNAIL_WIDTH * 9 // 8 // 16 * 16)
    thumbnails = {}
    for number, name in enumerate(recipe.styles):
        (picture,) = restyle(networks, scene[None], number)
        height = picture.shape[0] * THUMBNAIL_WIDTH // picture.shape[1]
        small = cv2.resize(picture, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
        thumbnails[name] = data.tobytes()
    return thumbnails
