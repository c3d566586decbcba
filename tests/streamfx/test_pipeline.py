"""Order, bounds, errors and endings of the pipeline, on plain items."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.pipeline import run


class Broken(Exception):
    pass


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("streamfx-")]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_every_item_passes_in_order(items: list[int], depth: int) -> None:
    out: list[int] = []
    run(items, lambda item: item + 1, out.append, depth)
    assert out == [item + 1 for item in items]
    assert threads() == []


def test_a_slow_sink_holds_the_source_back() -> None:
    read = 0
    furthest = 0

    def source() -> Iterator[int]:
        nonlocal read
        for item in range(100):
            read += 1
            yield item

    def sink(item: int) -> None:
        nonlocal furthest
        furthest = max(furthest, read - item)

    run(source(), lambda item: item, sink, depth=2)
    # Two queues of two, and one item in the hands of each of the three stages.
    assert furthest <= 2 * 2 + 3


@pytest.mark.parametrize("stage", ["source", "transform", "sink"])
@pytest.mark.parametrize("at", [0, 50])
def test_the_first_error_stops_everything(stage: str, at: int) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        for item in range(100_000):
            if stage == "source" and item == at:
                raise Broken("source")
            yield item

    def transform(item: int) -> int:
        if stage == "transform" and item == at:
            raise Broken("transform")
        return item

    def sink(item: int) -> None:
        if stage == "sink" and item == at:
            closed.set()
            raise Broken("sink")

    with pytest.raises(Broken, match=stage):
        run(source(), transform, sink)
    assert threads() == []
