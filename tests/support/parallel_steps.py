"""A few steps of a small run, for torchrun: a process writes what it computed to RANK-COUNT.pt."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from streamfx.training.library import Library, Style
from streamfx.training.parallel import Processes, join_processes
from streamfx.training.recipes import Recipe
from streamfx.training.trainer import Trainer

STEPS = 6
SIDE = 192


def recipe(batch: int = 4) -> Recipe:
    """Two styles, blends and all terms, from the third step on."""
    styles = {name: {"picture": f"{name}.png", "title": name} for name in ("one", "two")}
    data = {"window": 96, "batch": batch, "still_batch": 8, "blend_share": 0.5}
    data["invented_share"] = 0.5
    return Recipe.model_validate(
        {
            "name": "small",
            "styles": styles,
            "data": data,
            "losses": {"face_content": 1, "face_edges": 1},
            "teacher": {"side": SIDE},
            "optimizer": {"learning_rate": 3e-4, "warm_up": 2, "ramp": 1, "iterations": STEPS},
        }
    )


def library() -> Library:
    """Coarse noise; every other content has a face in the middle."""
    random = np.random.default_rng(0)

    def pictures(count: int, side: int = SIDE) -> np.ndarray:
        coarse = random.integers(0, 256, (count, 12, 12, 3), np.uint8)
        return np.stack([cv2.resize(each, (side, side)) for each in coarse])

    contents = pictures(4)
    faces = np.zeros((4, SIDE, SIDE, 1), np.uint8)
    faces[::2, 50:140, 50:140] = 255
    styles = tuple(
        Style(name, (pictures(1, 448)[0],), pictures(4), np.arange(4)) for name in ("one", "two")
    )
    return Library(contents, styles, 2, faces)


class ExactTrainer(Trainer):
    """In fp32: bf16 rounds the gradients of a batch otherwise than those of its parts."""

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", enabled=False)


def steps(processes: Processes) -> dict[str, object]:
    trainer = ExactTrainer(recipe(), library(), processes)
    values = [trainer.step() for _ in range(STEPS)]
    parts = {
        name: part.state_dict()
        for name, part in trainer._parts().items()
        if not name.endswith("_optimizer")
    }
    return {"values": values, "parts": parts}


if __name__ == "__main__":
    with join_processes() as joined:
        found = steps(joined)
        torch.save(found, Path(sys.argv[1]) / f"{joined.rank}-{joined.count}.pt")
