"""One run on several processes: each takes its share of every batch, and all stay the same.

`torchrun` starts the processes and tells each its number. Batches follow from the recipe's seed,
so every process draws the same ones and keeps its share; gradients are averaged (over gloo
between CPUs, NCCL between GPUs) before each step of an optimizer, so that the weights are equal
everywhere and nothing else has to travel.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from streamfx.errors import InputError, StreamFXError
from streamfx.training.batches import Batch
from streamfx.training.motion import Coverage, Trajectories
from streamfx.training.recipes import Recipe
from streamfx.training.views import Views

# The others wait while the first one makes the targets, which can take hours.
_LONGEST_WAIT = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """What a process knows of the run that it is part of; by default it is alone, on the CPU.

    Attributes:
        rank: its number, 0..count - 1.
        count: how many there are.
        device: where its networks are.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a device is a value

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks to the user."""
        return self.rank == 0

    def check(self, recipe: Recipe) -> None:
        """Whether the recipe's batches can be shared out evenly.

        Raises:
            InputError: they cannot.
        """
        for name, size, unit in (
            ("batch", recipe.data.batch, 2 * self.count),
            ("still_batch", recipe.data.still_batch, 4 * self.count),
            ("views", recipe.data.views, self.count),
        ):
            if self.count > 1 and size % unit:
                raise InputError(
                    f"data.{name} = {size} cannot be shared among {self.count} processes; "
                    f"make it a multiple of {unit} in the recipe"
                )

    def share(self, batch: Batch) -> Batch:
        """This process's part of a batch, on its device."""
        part: Batch = _on(share_of(batch, self.rank, self.count), self.device)
        return part

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes, whose gradient is that of this process's value.

        What a process adds to the gradient of a function of such means is its own part of it,
        so that averaged gradients are those of one process with the whole batch.
        """
        if self.count == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return value + (total / self.count - value.detach())

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of each value over all processes."""
        if self.count == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), device=self.device)
        distributed.all_reduce(total)
        return dict(zip(values, (total / self.count).tolist(), strict=True))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, value: float) -> float:
        """The first process's value, for what must not differ, such as the time that is left."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, 0)
        return told.item()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """What the first process does here is done when the others begin it."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Join the run that `torchrun` started this process for; without it, be alone.

    Networks are on a GPU of one's own where PyTorch has one, else on the CPU. A process that is
    told to stop (SIGTERM) stops as if by Ctrl-C, so that the first one writes its checkpoint.

    Raises:
        StreamFXError: the processes cannot be connected.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    if on_gpu and local >= torch.cuda.device_count():
        raise StreamFXError(
            f"there are more processes than GPUs ({torch.cuda.device_count()}); start as many "
            "processes as GPUs"
        )
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(device=device)
        return
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise StreamFXError(f"the processes of this run cannot be connected: {first}") from None
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield Processes(distributed.get_rank(), count, device)
    finally:
        signal.signal(signal.SIGTERM, previous)
        distributed.destroy_process_group()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


_FLATS = ("flat", "flat_sharpen")  # of a batch, not one for each clip


def share_of(batch: Batch, rank: int, count: int) -> Batch:
    """Part `rank` of `count` equal parts of a batch.

    Moving clips go to the processes in their order, an even number to each; of single frames
    both windows of a picture go to the same process.
    """
    if count == 1:
        return batch
    size = len(batch.inputs)
    if batch.shifts is None:
        part = size // count
        rows = np.arange(rank * part, (rank + 1) * part)
        shifts = None
    else:
        part = size // 2 // count
        pairs = np.arange(rank * part, (rank + 1) * part)
        rows = np.concatenate([pairs, size // 2 + pairs])
        shifts = batch.shifts[pairs]
    flats = len(batch.flat) // count
    shared: dict[str, Any] = {
        each.name: value[torch.from_numpy(rows)]
        for each in fields(batch)
        if each.name not in _FLATS and isinstance(value := getattr(batch, each.name), Tensor)
    }
    for name in _FLATS:
        shared[name] = getattr(batch, name)[rank * flats : (rank + 1) * flats]
    if batch.views is not None:
        part = len(batch.views.styles) // count
        mine = slice(rank * part, (rank + 1) * part)
        present = {name: value for name, value in vars(batch.views).items() if value is not None}
        mine_alone = {name: value[mine] for name, value in present.items()}
        shared["views"] = replace(batch.views, **mine_alone)
    motion, coverage = batch.motion, batch.coverage
    if motion is not None and coverage is not None:
        motion = Trajectories(motion.matrices[rows], motion.radii[rows], motion.wobble[rows])
        coverage = Coverage(coverage.weights[rows], coverage.owner[rows], coverage.sure[rows])
    return replace(batch, **shared, shifts=shifts, motion=motion, coverage=coverage)


def _on(value: Any, device: torch.device) -> Any:
    """The same tensor, or dataclass of tensors, on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (Batch, Views, Trajectories, Coverage)):
        moved = {each.name: _on(getattr(value, each.name), device) for each in fields(value)}
        return replace(value, **moved)
    return value
