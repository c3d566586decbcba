"""Where an engine's recurrent tensors live: in the GPU's memory, where it can keep them there."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from streamfx.engines.base import Array, Engine
from streamfx.engines.cuda import DeviceArray


@runtime_checkable
class Resident(Protocol):
    """The part of an engine that can keep tensors in its device's memory.

    Attributes:
        resident: whether it can now; an engine that gives way to another may come to.
    """

    @property
    def resident(self) -> bool: ...

    def place(self, name: str) -> Any:
        """Memory of the device for a tensor; `run` takes it and need not copy it."""
        ...


def room(engine: Engine, name: str, spare: Array | DeviceArray | None = None) -> Any:
    """Memory for the output `name`, which only goes back into `engine` as an input.

    Args:
        spare: what may be written over; it is taken where it fits.
    """
    spec = engine.outputs[name]
    resident = isinstance(engine, Resident) and engine.resident
    if (
        spare is not None
        and spare.shape == spec.shape
        and isinstance(spare, DeviceArray) == resident
    ):
        return spare
    if resident:
        assert isinstance(engine, Resident)
        return engine.place(name)
    return np.empty(spec.shape, spec.dtype)
