"""Frames out of RTP packets: order, loss, padding, key frames."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.server.jitter import (
    CAPACITY,
    EncodedFrame,
    FrameAssembler,
    KeyFrameRequests,
    Payload,
    begins_picture,
    is_key_frame,
)

KEY, DELTA = b"\x00key", b"\x01delta"  # of VP8: the lowest bit says it


def packet(
    sequence: int, timestamp: int, data: bytes = DELTA, *, marker: bool = True, first: bool = True
) -> Payload:
    return Payload("VP8", sequence % 65536, timestamp, marker, data, first)


def push_all(
    assembler: FrameAssembler, packets: Sequence[Payload], now: float = 0.0
) -> list[EncodedFrame]:
    return [frame for p in packets for frame in assembler.push(p, now)]


def started(at: int = 0) -> FrameAssembler:
    assembler = FrameAssembler(video=True)
    assert push_all(assembler, [packet(at, 0, KEY)])
    return assembler


def test_a_frame_is_given_out_with_its_marker() -> None:
    assembler = FrameAssembler(video=True)
    assert assembler.push(packet(0, 9, KEY, marker=False), 0) == []
    assert assembler.push(packet(1, 9, b"rest"), 0) == [EncodedFrame("VP8", 9, KEY + b"rest")]


def test_without_a_marker_the_next_frame_ends_it() -> None:
    assembler = FrameAssembler(video=True)
    assert assembler.push(packet(0, 9, KEY, marker=False), 0) == []
    (frame,) = assembler.push(packet(1, 12, DELTA, marker=False), 0)
    assert frame.timestamp == 9


def test_padding_after_the_marker_is_skipped() -> None:
    assembler = started()
    padding = [packet(n, 0, b"", marker=False) for n in (1, 2, 3)]
    frames = push_all(assembler, [*padding, packet(4, 3)])
    assert [frame.data for frame in frames] == [DELTA]
    assert assembler.gaps == 0


@given(st.permutations(range(1, 13)))
def test_order_is_restored(order: list[int]) -> None:
    assembler = started(65530)  # the sequence number wraps on the way
    packets = {n: packet(65530 + n, n // 3, b"%d," % n, marker=n % 3 == 2) for n in range(1, 13)}
    frames = push_all(assembler, [packets[n] for n in order])
    assert b"".join(f.data for f in frames) == b"".join(b"%d," % n for n in range(1, 12))
    assert [frame.timestamp for frame in frames] == [0, 1, 2, 3]
    assert assembler.gaps == 0


def test_one_packet_may_free_several_frames() -> None:
    assembler = started()
    assert push_all(assembler, [packet(n, n) for n in (2, 3, 4)]) == []
    assert [frame.timestamp for frame in assembler.push(packet(1, 1), 0.1)] == [1, 2, 3, 4]


def test_a_missing_packet_is_given_up_after_250_ms() -> None:
    assembler = started()
    assert assembler.push(packet(2, 2), 1.0) == []
    assert assembler.push(packet(3, 3), 1.2) == []
    assert not assembler.needs_key_frame
    assert assembler.push(packet(4, 4), 1.26) == []
    assert assembler.needs_key_frame
    assert assembler.gaps == 1
    assert [f.timestamp for f in assembler.push(packet(5, 5, KEY), 1.3)] == [5]
    assert not assembler.needs_key_frame


def test_a_key_frame_that_waited_behind_the_gap_is_used() -> None:
    assembler = started()
    push_all(assembler, [packet(2, 2, KEY)], now=1.0)
    frames = assembler.push(packet(3, 3), 1.3)
    assert [frame.timestamp for frame in frames] == [2, 3]


def test_what_comes_after_its_gap_was_given_up_is_dropped() -> None:
    assembler = started()
    push_all(assembler, [packet(2, 2)], now=1.0)
    push_all(assembler, [packet(3, 3)], now=1.3)
    assert assembler.push(packet(1, 1), 1.31) == []


def test_repeated_packets_are_dropped() -> None:
    assembler = started()
    assert len(push_all(assembler, [packet(1, 1), packet(1, 1), packet(0, 0, KEY)])) == 1


def test_the_tail_of_a_key_frame_is_no_key_frame() -> None:
    assembler = FrameAssembler(video=True)
    tail = packet(7, 0, b"\x00looks like one", first=False)
    assert assembler.push(tail, 0) == []
    assert assembler.needs_key_frame


@pytest.mark.parametrize("sequence", [40_000, CAPACITY + 1])
def test_a_new_sequence_starts_over_with_a_key_frame(sequence: int) -> None:
    assembler = started()
    assert assembler.push(packet(sequence, 5), 0) == []
    assert assembler.needs_key_frame
    assert len(assembler.push(packet(sequence + 1, 6, KEY), 0)) == 1


@given(st.lists(st.integers(0, 65535), max_size=700))
def test_what_is_held_is_bounded(sequences: list[int]) -> None:
    assembler = FrameAssembler(video=True)
    for sequence in sequences:
        assembler.push(packet(sequence, sequence, marker=False), 0)
        assert len(assembler._held) <= CAPACITY


def test_sound_needs_no_key_and_no_marker_and_waits_less() -> None:
    assembler = FrameAssembler(video=False)

    def sound(n: int) -> Payload:
        return Payload("opus", n, n, False, b"o")

    assert len(assembler.push(sound(0), 0)) == 1
    assert assembler.push(sound(2), 0.02) == []
    assert [frame.timestamp for frame in assembler.push(sound(3), 0.09)] == [2, 3]


def test_key_frames_are_asked_for_after_250_ms_and_again() -> None:
    requests = KeyFrameRequests(10.0)
    assert not requests.due(10.2)
    assert requests.due(10.25)
    assert not requests.due(10.3)
    assert requests.due(10.51)
    requests.delivered(10.6)
    assert not requests.due(10.8)
    assert requests.due(10.8, at_once=True)


@pytest.mark.parametrize(
    ("codec", "payload", "data", "first", "key"),
    [
        ("VP8", b"\x90\x80\x01", b"\x00", True, True),
        ("VP8", b"\x10", b"\x01", True, False),
        ("VP8", b"\x00", b"\x00", False, True),
        ("H264", b"", b"\x00\x00\x00\x01\x67\x42\x00\x00\x00\x01\x65\x88", True, True),
        ("H264", b"", b"\x00\x00\x00\x01\x65\x88", True, True),
        ("H264", b"", b"\x00\x00\x00\x01\x65\x12", False, True),  # a later slice of an IDR
        ("H264", b"", b"\x00\x00\x00\x01\x41\x9a", True, False),
        ("H264", b"", b"middle of a unit", False, False),
        ("opus", b"", b"o", True, True),
    ],
)
def test_where_pictures_begin(
    codec: str, payload: bytes, data: bytes, first: bool, key: bool
) -> None:
    assert begins_picture(codec, payload, data) == first
    assert is_key_frame(codec, data) == key
