"""The search takes what is faster, drops what is slower, and keeps to its time; clocks are ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import graphs
from streamfx import engines
from streamfx.engines.base import Array, Available, EngineInfo, EngineOptions, TensorSpec
from streamfx.engines.choices import Choice, ChoiceMemory
from streamfx.engines.errors import EngineError
from streamfx.engines.openvino import OpenVINOBackend, Placement
from streamfx.engines.tuning import (
    BURST,
    TURNS,
    Stage,
    Tuning,
    candidates,
    plausible_inputs,
    search,
    tune,
)

GRAPH = graphs.generator().SerializeToString()
SIZE = (34, 50)
START = Choice("openvino", "bf16", 4)
FP32 = replace(START, precision="fp32")
REFERENCE = Choice("onnxruntime", "fp32", 4)
FEWER = replace(START, threads=2)
PINNED = replace(FEWER, placement=Placement(pinning=True))
STAGES: tuple[Stage, ...] = (
    lambda _: [FP32, REFERENCE],
    lambda best: [replace(best, threads=2), replace(best, threads=1)],
    lambda best: [replace(best, placement=Placement(pinning=True))],
)


class Bench:
    """Engines that take as long as they are told, by a clock of their own, and are counted."""

    def __init__(self, costs: Mapping[Choice, float], loading: float = 0.0) -> None:
        self.costs = costs
        self.loading = loading
        self.now = 100.0
        self.runs: Counter[Choice] = Counter()
        self.open: Counter[Choice] = Counter()

    def load(self, choice: Choice) -> engines.Engine:
        self.now += self.loading
        if choice not in self.costs:
            raise EngineError(f"{choice} is refused")
        self.open[choice] += 1
        return _Timed(self, choice)

    def search(self, seconds: float = 1000.0, stages: tuple[Stage, ...] = STAGES) -> Tuning:
        return search(START, stages, self.load, seconds=seconds, clock=lambda: self.now)


class _Timed:
    inputs: Mapping[str, TensorSpec] = {}
    outputs: Mapping[str, TensorSpec] = {}

    def __init__(self, bench: Bench, choice: Choice) -> None:
        self._bench, self._choice = bench, choice
        self.info = EngineInfo(choice.backend, "", choice.precision, choice.threads, "")

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        self._bench.runs[self._choice] += 1
        self._bench.now += self._bench.costs[self._choice]

    def close(self) -> None:
        self._bench.open[self._choice] -= 1


def test_each_stage_goes_on_from_the_winner() -> None:
    bench = Bench({START: 10, FP32: 20, REFERENCE: 40, FEWER: 8, PINNED: 7})
    found = bench.search(seconds=1e6)
    assert found.best == PINNED
    assert found.default == START
    assert found.milliseconds == {
        START: 10_000, FP32: 20_000, REFERENCE: 40_000, FEWER: 8_000, PINNED: 7_000,
    }  # fmt: skip
    assert found.gain == pytest.approx(0.3)
    assert found.complete
    assert not any(bench.open.values())


def test_a_slower_precision_of_the_default_may_win() -> None:
    fewer = replace(FP32, threads=2)
    found = Bench({START: 10, FP32: 8, REFERENCE: 9, fewer: 8}).search(1e6)
    assert found.best == FP32


def test_noise_does_not_move_the_default() -> None:
    found = Bench({START: 10.0, FP32: 9.8, REFERENCE: 9.9, FEWER: 9.75}).search(1e6)
    assert found.best == START


def test_who_is_far_behind_has_one_turn() -> None:
    bench = Bench({START: 10, FP32: 10.5, REFERENCE: 20})
    bench.search(1e6, STAGES[:1])
    assert bench.runs == {
        START: TURNS * (BURST + 1), FP32: TURNS * (BURST + 1), REFERENCE: BURST + 1,
    }  # fmt: skip


def test_one_slow_run_among_many_does_not_count() -> None:
    """A median, not a mean: something else ran on the machine for a moment."""

    class Disturbed(dict[Choice, float]):
        calls = 0

        def __getitem__(self, choice: Choice) -> float:
            self.calls += choice == FP32
            return 500.0 if self.calls == 3 and choice == FP32 else super().__getitem__(choice)

    costs = Disturbed({START: 10.0, FP32: 8.0})
    assert Bench(costs).search(1e6, STAGES[:1]).best == FP32


def test_what_cannot_be_loaded_is_left_out() -> None:
    found = Bench({START: 10, FEWER: 5}).search(1e6)
    assert found.best == FEWER
    assert set(found.milliseconds) == {START, FEWER}
    with pytest.raises(EngineError, match="bf16, 4 threads is refused"):
        Bench({FP32: 1}).search()


def test_time_runs_out() -> None:
    """Everybody of the first stage has a turn; nothing of a later one begins."""
    bench = Bench({START: 1, FP32: 1, REFERENCE: 1, FEWER: 0.1})
    found = bench.search(seconds=3)
    assert found.best == START
    assert not found.complete
    assert set(found.milliseconds) == {START, FP32, REFERENCE}
    assert set(bench.runs.values()) == {BURST + 1}
    assert not any(bench.open.values())


def test_loading_counts_as_time() -> None:
    bench = Bench({START: 0.01, FP32: 0.01, REFERENCE: 0.01, FEWER: 0.001}, loading=2)
    assert not bench.search(seconds=5).complete
    assert FEWER not in bench.runs


def test_an_engine_that_fails_on_a_frame_is_closed() -> None:
    class Broken(Bench):
        def load(self, choice: Choice) -> engines.Engine:
            engine = super().load(choice)

            def fail(*_: object) -> None:
                raise EngineError("the device is gone")

            engine.run = fail  # type: ignore[method-assign]
            return engine

    bench = Broken({START: 1, FP32: 1, REFERENCE: 1})
    with pytest.raises(EngineError, match="gone"):
        bench.search()
    assert not any(bench.open.values())


def listing(*precisions: str) -> Callable[[object], Available]:
    return lambda _: Available(version="1", device="a CPU", precisions=precisions)


def first_stage(backend: str = "auto", **options: object) -> list[str]:
    start, stages = candidates(backend, EngineOptions(**options))  # type: ignore[arg-type]
    return [f"{each.backend} {each.precision}" for each in (start, *stages[0](start))]


def test_candidates_keep_to_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVINOBackend, "probe", listing("bf16", "fp32"))
    assert first_stage() == ["openvino bf16", "openvino fp32", "onnxruntime fp32"]
    assert first_stage(precision="fp32") == ["openvino fp32", "onnxruntime fp32"]
    assert first_stage(precision="bf16") == ["openvino bf16"]
    assert first_stage("onnxruntime") == ["onnxruntime fp32"]
    monkeypatch.setattr(OpenVINOBackend, "probe", listing("fp32"))
    assert first_stage() == ["openvino fp32", "onnxruntime fp32"]
    for backend, options, message in (
        ("auto", EngineOptions(precision="bf16"), "does not list bf16"),
        ("onnxruntime", EngineOptions(precision="bf16"), "does not list bf16"),
        ("tensorrt", EngineOptions(), "tensorrt is not measured; use auto, openvino or onnx"),
        ("auto", EngineOptions(threads=0), "at least 1 thread"),
    ):
        with pytest.raises(EngineError, match=message):
            candidates(backend, options)


def test_threads_and_placement_are_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineOptions, "thread_count", lambda self: self.threads or 16)
    start, (_, threads, placement) = candidates("auto", EngineOptions())
    assert [each.threads for each in threads(start)] == [8, 4]
    placed = placement(replace(start, threads=8))
    assert {each.threads for each in placed} == {8}
    assert {each.placement.pinning for each in placed} == {True, False, None}
    assert placement(Choice("onnxruntime", "fp32", 8)) == []
    _, stages = candidates("auto", EngineOptions(threads=3))
    assert len(stages) == 2  # the number that was asked for stays


def test_inputs_keep_the_contract() -> None:
    spec = TensorSpec((1, 2, 4, 2), np.dtype(np.float32))
    inputs = plausible_inputs({"motion": spec, "y": TensorSpec((1, 1, 4, 8), np.dtype(np.uint8))})
    np.testing.assert_allclose(inputs["motion"][0, 0, :, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(inputs["motion"][0, :, 0, 1], [-0.5, 0.5])
    assert inputs["motion"].flags.c_contiguous
    assert inputs["y"].dtype == np.uint8


def test_the_winner_is_remembered_and_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFX_ENGINES", str(tmp_path))
    shown: list[str] = []
    options = EngineOptions(precision="fp32")
    found = tune(
        GRAPH, SIZE, options=options, seconds=1, progress=lambda label, _: shown.append(label)
    )
    assert {each.backend for each in found.milliseconds} == {"openvino", "onnxruntime"}
    assert {each.precision for each in found.milliseconds} == {"fp32"}
    (stored,) = ChoiceMemory().all()
    assert stored.choice == found.best
    assert stored.milliseconds == found.milliseconds[found.best]
    assert shown[-1] == "done"
    info = engines.load(GRAPH, SIZE, options=options).info
    best = found.best
    assert (info.backend, info.precision, info.threads) == (
        best.backend, best.precision, best.threads,
    )  # fmt: skip
