"""Checkpoints: where a run stands and the state of all its parts, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from streamfx.errors import InputError


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        iteration: steps taken.
        seconds: time spent in steps, over all sittings.
    """

    iteration: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)


def save_checkpoint(
    path: Path, parts: Mapping[str, Any], progress: Progress, recipe: Mapping[str, Any]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        parts: modules and optimizers by name.
        recipe: as plain values, for whoever finds the file.
    """
    data: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    data |= {"progress": vars(progress), "recipe": recipe}
    temporary = path.with_suffix(".tmp")
    torch.save(data, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, parts: Mapping[str, Any], device: torch.device) -> Progress:
    """Put a checkpoint's state into the parts, and say where the run stands.

    Raises:
        InputError: it is not a checkpoint of these parts.
    """
    try:
        data = torch.load(path, map_location=device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(data[name])
        return Progress(**data["progress"])
    except (
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        UnpicklingError,
    ) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path} is not a checkpoint of this recipe: {first}") from None
