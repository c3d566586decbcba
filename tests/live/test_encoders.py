"""The encoders alone: what is in their packets."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.frames import Color
from streamfx.live.bank import EncoderBank
from streamfx.live.encoders import OpusEncoder, VideoEncoder
from streamfx.live.rungs import Target
from watching import decode, grey, luma, wait_for

FULL = Target("h264", "full")
HALF = Target("vp8", "half")


def nal_types(packet: av.Packet) -> list[int]:
    data = bytes(packet)
    parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [part[0] & 31 for part in parts[1:]]


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_every_frame_gives_its_packet_at_once(codec: str) -> None:
    encoder = VideoEncoder(codec, (64, 48), 500_000, 30, grey(0))
    packets = []
    begin = 90_000 * 86_400 * 60  # two months of uptime
    for index in range(60):
        packet = encoder.encode(grey(60 + index), begin + 3000 * index, key=index in (20, 41))
        assert packet is not None
        assert packet.pts == begin + 3000 * index
        assert packet.time_base == Fraction(1, 90_000)
        packets.append(packet)
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    assert keys == [0, 20, 41]
    for start in keys:  # a decoder can begin at each of them
        frames = decode(codec, packets[start:])
        assert len(frames) == 60 - start
        assert luma(frames[-1]).mean() == pytest.approx(119, abs=3)


def test_h264_is_constrained_baseline_in_annex_b() -> None:
    encoder = VideoEncoder("h264", (64, 48), 500_000, 30, grey(0))
    packet = encoder.encode(grey(9), 0, key=False)
    types = nal_types(packet)
    assert types[:2] == [7, 8]
    assert types.count(5) == 1, "one slice"
    data = bytes(packet)
    sps = data.index(b"\x67")
    profile, constraints, level = data[sps + 1 : sps + 4]
    assert profile == 66
    assert constraints & 0x40, "constraint_set1: constrained baseline"
    assert level == 31
    assert nal_types(encoder.encode(grey(9), 3000, key=False)) == [1]


def test_colour_tags_reach_the_decoder() -> None:
    color = Color(matrix=6, range=2, primaries=5, transfer=6)
    encoder = VideoEncoder("h264", (64, 48), 500_000, 30, grey(0, color=color))
    (frame,) = decode("h264", [encoder.encode(grey(50, color=color), 0, key=False)])
    tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    assert tags == (6, 2, 5, 6)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_the_rate_is_kept(codec: str) -> None:
    rng = np.random.default_rng(0)
    base = grey(0, 160, 96)
    for bitrate in (200_000, 800_000):
        encoder = VideoEncoder(codec, (160, 96), bitrate, 30, base)
        bits = 0
        for index in range(90):
            noise = rng.integers(60, 200, (96, 160), np.uint8)
            packet = encoder.encode(replace(base, y=noise), 3000 * index, key=False)
            bits += 8 * packet.size if packet is not None and index >= 30 else 0
        assert bits / 2 < 1.4 * bitrate


def test_the_bank_holds_what_is_watched_and_renews_for_a_new_rate() -> None:
    failures: list[int] = []
    bank = EncoderBank(30, lambda: failures.append(1))
    rates = {FULL: 500_000, HALF: 200_000}
    pts = iter(range(0, 1 << 30, 3000))

    def encode(*targets: Target) -> dict[Target, av.Packet]:
        return bank.encode(grey(99), next(pts), set(targets), rates)

    packets = encode(FULL, HALF)
    assert all(packet.is_keyframe for packet in packets.values())
    assert {(f.width, f.height) for f in decode("vp8", [packets[HALF]])} == {(32, 24)}
    assert not encode(FULL, HALF)[FULL].is_keyframe
    assert encode(FULL).keys() == {FULL}
    assert encode(FULL, HALF)[HALF].is_keyframe, "it was closed in between"
    assert bank.next_key_frame() is None
    rates[FULL] = 550_000
    seen = [encode(FULL)[FULL].is_keyframe for _ in range(5)]
    assert not any(seen), "10 % are not worth a key frame"
    rates[FULL] = 100_000
    wait_for(lambda: encode(FULL)[FULL].is_keyframe, "the new rate")
    assert encode() == {}
    assert not failures


def test_an_encoder_that_cannot_be_is_tried_again() -> None:
    failures: list[int] = []
    bank = EncoderBank(120, lambda: failures.append(1))
    huge = grey(0, 6000, 6000)
    vp8 = Target("vp8", "full")
    for index in range(2):
        assert bank.encode(huge, index, {FULL}, {FULL: 10**6}) == {}
    assert len(failures) == 1, "not with every frame"
    packets = bank.encode(grey(1), 9000, {vp8}, {vp8: 10**6})
    assert packets.keys() == {vp8}, "the others go on"


def test_opus_says_when_its_sound_was() -> None:
    encoder = OpusEncoder()
    begin = 48_000 * 86_400
    click = np.zeros((9600, 2), np.int16)
    click[5000:5024] = 20_000
    packets = []
    for index in range(10):
        block = click[960 * index : 960 * (index + 1)]
        packets += encoder.encode(block, begin + 960 * index)
    assert [packet.pts for packet in packets] == [begin - 312 + 960 * n for n in range(10)]
    decoder = av.CodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    sound = np.concatenate(
        [f.to_ndarray()[0] for p in packets for f in decoder.decode(av.Packet(bytes(p)))]
    )
    # A receiver plays sample n of the decoder at the first pts plus n, which is 312 early.
    assert np.argmax(np.abs(sound)) - 312 == pytest.approx(5012, abs=48)
