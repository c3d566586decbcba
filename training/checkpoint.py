"""Checkpoints: the state of all parts of a run in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from streamfx.errors import InputError


def save_checkpoint(path: Path, parts: Mapping[str, Any], plain: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        parts: modules and optimizers by name.
        plain: numbers, texts and dictionaries of them, kept beside the parts.
    """
    temporary = path.with_suffix(".tmp")
    torch.save({name: part.state_dict() for name, part in parts.items()} | plain, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, parts: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Put a checkpoint's state into the parts, and give all that it holds.

    Raises:
        InputError: it is not a checkpoint of these parts.
    """
    try:
        data: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(data[name])
    except (
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        UnpicklingError,
    ) as error:
        raise not_a_checkpoint(path, error) from None
    return data


def not_a_checkpoint(path: Path, error: Exception) -> InputError:
    """The error to raise for a file that cannot be gone on from."""
    first = str(error).splitlines()[0]
    return InputError(f"{path} is not a checkpoint of this recipe: {first}")
