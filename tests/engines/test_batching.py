"""Streams that share an engine get what each would get alone, and nobody waits for who pauses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import devices
import graphs
from devices import FP32, Cuda
from streamfx import engines
from streamfx.engines.base import run_on_zeros
from streamfx.engines.batching import Batcher, Member
from streamfx.engines.cuda import LEGACY_STREAM
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import read_spec
from streamfx.engines.onnxruntime import ONNXRuntimeBackend

SIZE = (48, 64)
SPEC = replace(graphs.SPEC, motion=True)
GRAPH = graphs.generator(SPEC).SerializeToString()
PAST = read_spec(GRAPH).recurrent
FRAMES = 6
PATIENT = 60.0  # seconds: only a test that hangs waits so long


def load(batch: int) -> engines.Engine:
    return ONNXRuntimeBackend().load(GRAPH, size=SIZE, batch=batch, options=FP32)


def frame(engine: engines.Engine, seed: int) -> dict[str, engines.Array]:
    return graphs.noise(engine, seed, without=PAST)


def stream(engine: Any, number: int, count: int = FRAMES) -> list[engines.Array]:
    """The luma of the frames of stream `number`, each with what the one before left."""
    shown = []
    past = {name: np.zeros(engine.inputs[name].shape, np.float32) for name in PAST}
    for index in range(count):
        outputs = {name: np.empty(s.shape, s.dtype) for name, s in engine.outputs.items()}
        engine.run(frame(engine, 100 * number + index) | past, outputs)
        past = {name: outputs[f"{name}_out"] for name in PAST}
        shown.append(outputs["y_out"])
    return shown


def together(members: list[Member], work: Callable[[Any, int], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(members)) as threads:
        running = [threads.submit(work, member, i) for i, member in enumerate(members)]
        return [each.result(PATIENT) for each in running]


def test_each_stream_keeps_its_own_past() -> None:
    batcher = Batcher(load, wait=PATIENT)
    members = [batcher.join() for _ in range(3)]
    found = together(members, stream)
    assert batcher.batches == {3: FRAMES}
    assert batcher.late == 0
    alone = load(1)
    for number, shown in enumerate(found):
        np.testing.assert_array_equal(shown, stream(alone, number))
    assert not np.array_equal(found[0], found[1])


def test_more_streams_than_frames_at_a_time() -> None:
    batcher = Batcher(load, most=2, wait=0.0)
    found = together([batcher.join() for _ in range(5)], stream)
    assert sum(size * number for size, number in batcher.batches.items()) == 5 * FRAMES
    assert max(batcher.batches) <= 2
    alone = load(1)
    for number, shown in enumerate(found):
        np.testing.assert_array_equal(shown, stream(alone, number))


def test_who_pauses_holds_nobody_up() -> None:
    batcher = Batcher(load, wait=0.001)
    running, pausing = batcher.join(), batcher.join()
    np.testing.assert_array_equal(stream(running, 0), stream(load(1), 0))
    assert batcher.batches == {1: FRAMES}
    assert batcher.late == 1  # then nobody waits for it any more
    stream(pausing, 1, 1)
    assert batcher.late == 2  # it is back, and waits for the other one


def test_one_stream_alone_never_waits() -> None:
    batcher = Batcher(load, wait=PATIENT)
    first, second = batcher.join(), batcher.join()
    second.close()
    stream(first, 0)
    assert batcher.late == 0


def test_leaving_wakes_who_waits_for_it() -> None:
    batcher = Batcher(load, wait=PATIENT)
    first, second = batcher.join(), batcher.join()
    thread = threading.Thread(target=stream, args=(first, 0, 1))
    thread.start()
    second.close()
    thread.join(PATIENT / 2)
    assert not thread.is_alive()
    assert batcher.batches == {1: 1}


def test_a_failure_reaches_all_of_the_batch_and_ends_with_it() -> None:
    class Fickle:
        fails = True

        def __init__(self, engine: engines.Engine) -> None:
            self.__dict__ |= {name: getattr(engine, name) for name in ("info", "inputs", "outputs")}
            self._engine = engine

        def run(self, *tensors: Any) -> None:
            if self.fails:
                raise EngineError("the device fell off")
            self._engine.run(*tensors)

        def close(self) -> None:
            self._engine.close()

    batcher = Batcher(lambda batch: Fickle(load(batch)), wait=PATIENT)  # type: ignore[arg-type, return-value]
    members = [batcher.join() for _ in range(2)]

    def failing(member: Member, number: int) -> str:
        with pytest.raises(EngineError) as raised:
            stream(member, number, 1)
        return str(raised.value)

    assert together(members, failing) == ["the device fell off"] * 2
    Fickle.fails = False
    together(members, stream)
    assert batcher.batches == {2: 1 + FRAMES}


def test_a_batch_that_cannot_be_had_is_computed_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = []

    def load_one(batch: int) -> engines.Engine:
        tried.append(batch)
        if batch > 1:
            raise EngineError("the GPU's memory is full")
        return load(batch)

    batcher = Batcher(load_one, wait=PATIENT)
    found = together([batcher.join() for _ in range(2)], stream)
    alone = load(1)
    for number, shown in enumerate(found):
        np.testing.assert_array_equal(shown, stream(alone, number))
    assert tried == [1, 2]
    assert batcher.batches[2] == 1
    assert "1 at a time at most: the GPU's memory is full" in caplog.text


def test_the_last_to_leave_closes_the_engines() -> None:
    batcher = Batcher(load, wait=PATIENT)
    members = [batcher.join() for _ in range(2)]
    together(members, stream)
    held = list(batcher._engines.values())
    assert len(held) == 2
    for member in members:
        member.close()
        member.close()
        with pytest.raises(EngineError, match="closed"):
            member.run({}, {})
    with pytest.raises(EngineError, match="closed"):
        batcher.join()
    for engine in held:
        with pytest.raises(EngineError, match="closed"):
            engine.run({}, {})


def test_on_the_gpu_each_stream_keeps_its_past_there() -> None:
    cuda = Cuda()
    # One thread at a time is in the double, as one is in a batcher's engine.

    def engine(batch: int) -> engines.Engine:
        made = devices.engine(cuda, GRAPH, SIZE, batch)
        run_on_zeros(made)
        return made

    def resident(member: Member, number: int) -> list[engines.Array]:
        shown = []
        now, then = pasts[number]
        for index in range(FRAMES):
            outputs: dict[str, Any] = {
                name: np.empty(spec.shape, spec.dtype)
                for name, spec in member.outputs.items()
                if name.removesuffix("_out") not in PAST
            }
            following = {f"{name}_out": array for name, array in then.items()}
            member.run(frame(member, 100 * number + index) | now, outputs | following)
            now, then = then, now
            shown.append(outputs["y_out"])
        return shown

    batcher = Batcher(engine, wait=PATIENT)
    members = [batcher.join() for _ in range(2)]
    pasts = [
        tuple({name: member.place(name) for name in PAST} for _ in range(2)) for member in members
    ]
    found = together(members, resident)
    assert batcher.batches == {2: FRAMES}
    alone = load(1)
    for number, shown in enumerate(found):
        np.testing.assert_array_equal(shown, stream(alone, number))
    assert members[0].cuda.to_host(pasts[0][0][PAST[0]], LEGACY_STREAM).any()


def test_a_member_of_an_engine_on_the_cpu_has_no_place_on_a_gpu() -> None:
    member = Batcher(load).join()
    with pytest.raises(EngineError, match="onnxruntime keeps nothing on a device"):
        member.place("y")
    assert member.cuda is None
    assert not member.resident
