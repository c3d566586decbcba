"""Live streams from end to end, in one process: real engines, encoders and decoders."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import graphs
import packs
from process_memory import resident
from streamfx.engines.errors import EngineError
from streamfx.errors import InputError
from streamfx.frames import Color, Frame
from streamfx.live import ControlChange, LiveSettings, LiveStream, StyleShelf
from streamfx.live.fanout import MOST_PICTURES
from watching import Watcher, camera, grey, luma, wait_for

GAIN = int(graphs.STYLE_GAIN)
LEVEL = 60
Make = Callable[..., LiveStream]


class Noted:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.counts: Counter[tuple[str, ...]] = Counter()

    def observe(self, stage: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages[stage] += 1

    def count(self, name: str, **labels: str) -> None:
        self.counts[name, *labels.values()] += 1


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> StyleShelf:
    """Great-wave adds 40 to luma (and what the state holds), starry-night adds 40 to u."""
    return StyleShelf(packs.tiny_pack(tmp_path_factory.mktemp("pack")))


@pytest.fixture
def make(shelf: StyleShelf) -> Iterator[Make]:
    made: list[LiveStream] = []

    def build(observer: Noted | None = None, **settings: object) -> LiveStream:
        defaults = {"precision": "fp32", "threads": 1, "enabled": False}
        made.append(LiveStream("test", shelf, LiveSettings(**{**defaults, **settings}), observer))
        return made[-1]

    yield build
    for stream in made:
        stream.close()


def settled_level(style_state: bool = True) -> float:
    """Luma of a grey scene at LEVEL in great-wave, once the state has settled."""
    return LEVEL + GAIN + (graphs.STATE_GAIN * LEVEL / 255 if style_state else 0)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_viewers_get_what_was_pushed_restyled(make: Make, codec: str) -> None:
    noted = Noted()
    stream = make(noted, enabled=True)
    assert stream.stats().state == "waiting"
    watcher = Watcher(stream, codec)
    before = time.monotonic()
    with camera(stream, lambda _: grey(LEVEL)):
        watcher.wait_pictures(12)
    after = time.monotonic()
    frames = watcher.decoded()
    assert watcher.pictures[0].is_keyframe
    assert {(frame.width, frame.height) for frame in frames} == {(64, 48)}
    assert luma(frames[-1]).mean() == pytest.approx(settled_level(), abs=3)
    pts = [packet.pts for packet in watcher.pictures]
    assert pts == sorted(set(pts))
    assert before * 90_000 - 1 <= pts[0] <= pts[-1] <= after * 90_000 + 1
    stats = stream.stats()
    assert stats.state == "live"
    assert (stats.size_in, stats.size_out, stats.viewers) == ((64, 48), (64, 48), 1)
    assert stats.frames_out >= 12
    assert stats.frames_restyled >= 12
    assert stats.frames_in >= stats.frames_restyled
    assert stats.bitrate.keys() == {f"{codec}/full"}
    assert 0 < stats.stages["delay"].p50 <= stats.stages["delay"].p95
    stream.close()
    stats = stream.stats()
    for name in ("frames_in", "frames_restyled", "frames_out"):
        assert noted.counts[name,] == getattr(stats, name)
    assert noted.counts["key_frames", codec, "full"] == stats.key_frames == 1
    for reason, number in stats.dropped.items():
        assert noted.counts["dropped", reason] == number
    assert noted.stages["encode"] == noted.stages["delay"] == stats.frames_out


def test_every_frame_is_out_or_counted(make: Make) -> None:
    stream = make(fps=120)
    watcher = Watcher(stream)
    for index in range(200):  # faster than anything can be
        stream.push(grey(index), time.monotonic())
    last = time.monotonic() + 0.05
    wait_for(lambda: time.monotonic() >= last)
    stream.push(grey(7), last)
    watcher.wait(lambda: watcher.pictures and watcher.pictures[-1].pts >= round(last * 90_000))
    stats = stream.stats()
    assert stats.frames_in == 201
    assert stats.frames_out + sum(stats.dropped.values()) == 201
    assert stats.dropped.keys() <= {"superseded", "fps_cap"}
    assert luma(watcher.decoded()[-1]).mean() == pytest.approx(7, abs=10)


def test_with_the_style_off_no_engine_runs(make: Make) -> None:
    stream = make(backend="none")
    watcher = Watcher(stream)
    with camera(stream, lambda _: grey(LEVEL)):
        watcher.wait_pictures(5)
    assert luma(watcher.decoded()[-1]).mean() == pytest.approx(LEVEL, abs=2)
    stats = stream.stats()
    assert stats.frames_restyled == 0
    assert "engine" not in stats.dropped


def test_nothing_is_done_for_nobody(make: Make) -> None:
    stream = make(enabled=True)
    with camera(stream, lambda _: grey(LEVEL)):
        wait_for(lambda: stream.stats().dropped.get("unwatched", 0) >= 8)
        stats = stream.stats()
        assert (stats.frames_restyled, stats.frames_out) == (0, 0)
        watcher = Watcher(stream)
        watcher.wait_pictures(3)
        watcher.viewer.close()
        wait_for(lambda: stream.stats().viewers == 0)
        out = stream.stats().frames_out
        number = stream.stats().frames_in
        wait_for(lambda: stream.stats().frames_in >= number + 8)
        assert stream.stats().frames_out <= out + 1
    assert watcher.viewer.next_video() is None


def test_keep_warm_restyles_for_nobody(make: Make) -> None:
    stream = make(enabled=True, keep_warm=True)
    with camera(stream, lambda _: grey(LEVEL)):
        wait_for(lambda: stream.stats().frames_restyled >= 3)
    assert stream.stats().frames_out == 0


def test_a_joiner_begins_with_a_key_frame_and_packets_are_shared(make: Make) -> None:
    stream = make()
    with camera(stream, lambda index: grey(40 + index % 100)):
        first = Watcher(stream)
        first.wait_pictures(10)
        second, vp8 = Watcher(stream), Watcher(stream, "vp8")
        second.wait_pictures(8)
        vp8.wait_pictures(3)
    stream.close()
    assert second.pictures[0].is_keyframe
    assert vp8.pictures[0].is_keyframe
    shared = {id(packet) for packet in first.pictures}
    assert all(id(packet) in shared for packet in second.pictures)
    assert second.decoded()
    keys = [packet for packet in first.pictures if packet.is_keyframe]
    assert keys == [first.pictures[0], second.pictures[0]]


def test_requests_for_key_frames_are_coalesced(make: Make) -> None:
    stream = make()
    watcher = Watcher(stream)
    with camera(stream, lambda index: grey(40 + index % 100)):
        watcher.wait_pictures(3)
        for _ in range(12):
            for _ in range(5):
                watcher.viewer.request_key_frame()
                stream.request_key_frame("h264")
            watcher.wait_pictures(2)
    keys = [packet.pts / 90_000 for packet in watcher.pictures if packet.is_keyframe]
    assert len(keys) >= 3
    # The gate is kept by the clock of the encoder, to which pts comes close.
    assert min(np.diff(keys)) > 0.25 - 0.1


def test_a_key_frame_comes_though_no_frame_does(make: Make) -> None:
    """A shared screen that does not change sends nothing for long."""
    stream = make()
    first = Watcher(stream)
    stream.push(grey(90), time.monotonic())
    first.wait_pictures(1)
    joiner = Watcher(stream)
    joiner.wait_pictures(1)
    assert joiner.pictures[0].is_keyframe
    assert luma(joiner.decoded()[0]).mean() == pytest.approx(90, abs=2)
    assert joiner.pictures[0].pts > first.pictures[0].pts


def test_a_style_change_fades(make: Make) -> None:
    stream = make(enabled=True, strength=0, fade_ms=1000, start_bitrate=5_000_000)
    watcher = Watcher(stream)
    with camera(stream, lambda _: grey(LEVEL)):
        watcher.wait_pictures(3)
        control = stream.set_control(ControlChange(strength=1.0))
        assert (control.strength, stream.control) == (1.0, control)
        watcher.wait(lambda: luma(watcher.decoded()[-1]).mean() > settled_level() - 2)
        begin = len(watcher.pictures)
        control = stream.set_control(ControlChange(style=" starry-night:2", fade_ms=500))
        assert (control.style, control.fade_ms) == ("starry-night", 500)
        with_state = settled_level() - GAIN
        watcher.wait(lambda: luma(watcher.decoded()[-1]).mean() < with_state + 2)
        stream.set_control(ControlChange(enabled=False))
        watcher.wait(lambda: luma(watcher.decoded()[-1]).mean() < LEVEL + 2)
    levels = np.array([luma(frame).mean() for frame in watcher.decoded()])
    rising = levels[: begin - 1]
    assert (np.diff(rising) > -1.5).all(), rising
    assert (np.diff(levels[begin + 1 :]) < 1.5).all(), levels
    between = (rising > LEVEL + 5) & (rising < settled_level() - 8)
    assert between.sum() >= 3, "it did not fade but jump"


def test_controls_that_cannot_be(make: Make) -> None:
    stream = make()
    before = stream.control
    for change, message in (
        (ControlChange(style="nobody"), "no style 'nobody'"),
        (ControlChange(style="image:/etc/passwd"), "image:PATH is not taken here"),
        (ControlChange(style="+"), "a style is missing"),
        (ControlChange(strength=1.5), "from 0 to 1"),
        (ControlChange(strength=float("nan")), "from 0 to 1"),
        (ControlChange(fade_ms=-1), "from 0 to 10000 ms"),
    ):
        with pytest.raises(InputError, match=message):
            stream.set_control(change)
    assert stream.control == before
    with pytest.raises(InputError, match="no style"):
        make(style="nobody")


def test_the_size_may_change_and_what_goes_out_does_not(make: Make) -> None:
    stream = make()
    watcher = Watcher(stream)
    sizes = [(96, 64), (48, 64), (192, 128), (33, 17), (2, 2), (96, 64)]
    color = Color(matrix=6, range=2, primaries=1, transfer=1)

    for width, height in sizes:

        def frame(_: int, width: int = width, height: int = height) -> Frame:
            made = grey(200, width + width % 2, height + height % 2, color)
            made.y = made.y[:height, :width]
            return made

        with camera(stream, frame):
            watcher.wait_pictures(3)
    frames = watcher.decoded()
    assert {(each.width, each.height) for each in frames} == {(96, 64)}
    assert {each.color_range for each in frames} == {2}
    assert {each.colorspace for each in frames} == {6}
    assert [p.is_keyframe for p in watcher.pictures].count(True) == 1
    # The upright pictures have black bars at the sides: full range, so 0.
    upright = [luma(each) for each in frames if luma(each)[:, :8].mean() < 20]
    assert upright
    assert luma(frames[-1]).mean() == pytest.approx(200, abs=3)


def test_a_size_is_bounded_and_may_be_told(make: Make) -> None:
    for settings, size in (
        ({"max_size": (64, 64)}, (64, 36)),
        ({"size": (64, 64)}, (64, 64)),
        ({}, (128, 72)),
    ):
        stream = make(**settings)
        watcher = Watcher(stream)
        with camera(stream, lambda _: grey(200, 128, 72)):
            watcher.wait_pictures(1)
        frame = watcher.decoded()[0]
        assert (frame.width, frame.height) == size == stream.stats().size_out
        rows = luma(frame).mean(axis=1)
        assert (rows[0] < 30) == (size == (64, 64)), "bars above and below, of limited black"


def test_frames_that_are_none(make: Make) -> None:
    stream = make()
    bad = grey(1)
    bad.u = bad.u[:-1]
    with pytest.raises(InputError, match="chroma has half the sides"):
        stream.push(bad, 0)
    with pytest.raises(InputError, match=r"int16 \[N, 2\]"):
        stream.push_audio(np.zeros((1, 960), np.int16), 0)
    huge = np.zeros((4098, 4096), np.uint8)
    with pytest.raises(InputError, match="at most 4096x2304"):
        stream.push(Frame(huge, huge[::2, ::2], huge[::2, ::2]), 0)
    assert stream.stats().frames_in == 0


def test_engines_of_all_working_sizes_are_ready_before_the_style_is_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamfx import engines

    real, compiled = engines.load, []

    def load(graph: bytes, size: tuple[int, int], **options: object) -> object:
        compiled.append(size)
        return real(graph, size, **options)

    monkeypatch.setattr(engines, "load", load)
    stream = make(enabled=False)
    watcher = Watcher(stream)
    with camera(stream, lambda _: grey(LEVEL, 320, 240)):
        watcher.wait_pictures(3)
        assert compiled == [(240, 320), (180, 240), (120, 160)]
        stream.set_control(ControlChange(enabled=True))
        watcher.wait(lambda: stream.stats().frames_restyled >= 3)
    assert len(compiled) == 3


def test_an_error_that_nobody_foresaw_ends_the_stream(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = make()
    watcher = Watcher(stream)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stream, "_send", fail)
    with camera(stream, lambda _: grey(LEVEL)):
        wait_for(lambda: watcher.viewer.closed)
    assert stream.stats().state == "closed"
    assert "the stream ends" in caplog.text


def test_an_engine_that_fails_ends_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from streamfx import engines
    from streamfx.live import restyle

    real, broken = engines.load, threading.Event()
    broken.set()

    def load(*args: object, **options: object) -> object:
        if broken.is_set():
            raise EngineError("the device is gone")
        return real(*args, **options)

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr(restyle, "retry_after", lambda failures: 0.1)
    stream = make(enabled=True)
    watcher = Watcher(stream)
    with camera(stream, lambda _: grey(LEVEL)):
        watcher.wait(lambda: stream.stats().dropped.get("engine", 0) >= 12)
        assert luma(watcher.decoded()[-1]).mean() == pytest.approx(LEVEL, abs=2)
        assert stream.stats().frames_restyled == 0
        broken.clear()
        watcher.wait(lambda: stream.stats().frames_restyled >= 5)
        watcher.wait_pictures(3)
    assert luma(watcher.decoded()[-1]).mean() > LEVEL + GAIN - 5
    said = [record.message for record in caplog.records if "engine" in record.message]
    assert sum("pass unstyled" in line for line in said) == 1
    assert stream.stats().dropped["engine"] < stream.stats().frames_in


def test_a_publisher_that_left_and_returns(make: Make) -> None:
    stream = make(enabled=False)
    watcher = Watcher(stream)
    with camera(stream, lambda _: grey(200, 320, 240)):
        watcher.wait_pictures(4)
    stream.publisher_left()
    number = len(watcher.pictures)
    watcher.wait_pictures(1)
    joiner = Watcher(stream)
    joiner.wait_pictures(1)
    watcher.wait_pictures(1)
    stats = stream.stats()
    assert (stats.state, stats.connected) == ("paused", False)
    stream.push(grey(30, 320, 240), time.monotonic())  # a straggler
    assert stream.stats().dropped["paused"] == 1
    for frame in (watcher.decoded()[-1], joiner.decoded()[0]):
        shown = luma(frame)
        assert np.median(shown) == pytest.approx((200 - 16) / 2 + 16, abs=4)
        assert (shown > 180).sum() > 100, "the notice is not there"
    gaps = np.diff([packet.pts for packet in watcher.pictures[number:]]) / 90_000
    assert (gaps > 0).all()
    stream.publisher_returned()
    with camera(stream, lambda _: grey(100, 320, 240)):
        watcher.wait(lambda: luma(watcher.decoded()[-1]).max() < 120)
    assert stream.stats().state == "live"
    assert stream.stats().connected


def test_one_bad_line_gets_the_small_picture(make: Make) -> None:
    stream = make(start_bitrate=1_000_000, min_bitrate=100_000)
    good, bad = Watcher(stream), Watcher(stream)
    rng = np.random.default_rng(0)
    noise = rng.integers(30, 200, (40, 64, 96), np.uint8)

    def frame(index: int) -> Frame:
        made = grey(0, 96, 64)
        made.y = noise[index % 40]
        return made

    with camera(stream, frame):
        good.wait_pictures(2)
        good.viewer.report_bandwidth(2_000_000)
        bad.viewer.report_bandwidth(150_000)
        bad.wait(lambda: bad.viewer.rung == "half")
        bad.wait_pictures(10)
        assert good.viewer.rung == "full"
        assert "h264/half" in stream.stats().bitrate
        bad.viewer.report_bandwidth(2_000_000)
        number = len(bad.pictures)
        bad.wait(lambda: any(packet.is_keyframe for packet in bad.pictures[number:]))
    stream.close()
    sizes = [(frame.width, frame.height) for frame in bad.decoded()]
    changes = [size for size, last in zip(sizes, [None, *sizes], strict=False) if size != last]
    assert changes == [(96, 64), (48, 32), (96, 64)]
    assert {(frame.width, frame.height) for frame in good.decoded()} == {(96, 64)}
    pts = [packet.pts for packet in bad.pictures]
    assert pts == sorted(set(pts)), "a picture was missed or came twice on the way"


def test_a_slow_viewer_slows_nobody(make: Make) -> None:
    stream = make()
    slow = stream.subscribe("h264", lambda: None)
    quick = Watcher(stream)
    with camera(stream, lambda index: grey(40 + index % 100)):
        quick.wait(lambda: slow.dropped > 0)
        before = stream.stats().key_frames
        quick.wait_pictures(15)
        assert stream.stats().key_frames == before, "who takes nothing gets no key frames"
        assert slow.next_video() is None
        quick.wait_pictures(5)
        taken = list(iter(slow.next_video, None))
        assert 0 < len(taken) <= MOST_PICTURES
        assert taken[0].is_keyframe, "what follows a loss begins with a key frame"
    assert quick.viewer.dropped == 0
    out = stream.stats().frames_out
    assert len(quick.pictures) >= out - 1


def test_a_viewer_that_cannot_be_woken_is_closed(make: Make) -> None:
    stream = make()

    def wake() -> None:
        raise RuntimeError("the loop is closed")

    broken, good = stream.subscribe("h264", wake), Watcher(stream)
    with camera(stream, lambda _: grey(50)):
        good.wait_pictures(5)
    assert broken.closed
    assert stream.stats().viewers == 1


def test_a_clock_that_jumps(make: Make) -> None:
    stream = make()
    watcher = Watcher(stream)
    now = time.monotonic
    jumps = [0.0, -3600.0, 1e9, float("nan"), float("inf"), -1.5, 0.0, 0.0]
    for index, jump in enumerate(jumps):
        time.sleep(0.04)  # frames keep their distance
        stream.push(grey(50 + index), now() + jump)
        watcher.wait_pictures(1)
    pts = [packet.pts for packet in watcher.pictures]
    assert pts == sorted(set(pts))
    assert abs(pts[-1] / 90_000 - now()) < 30


def test_many_streams_leave_nothing_behind(shelf: StyleShelf) -> None:
    def once() -> None:
        settings = LiveSettings(precision="fp32", threads=1)
        stream = LiveStream("brief", shelf, settings)
        watchers = [Watcher(stream, codec) for codec in ("h264", "vp8", "h264")]
        with camera(stream, lambda _: grey(LEVEL, 320, 240)):
            for watcher in watchers:
                watcher.wait_pictures(2)
            stream.push_audio(np.zeros((4800, 2), np.int16), time.monotonic())
            watchers[0].viewer.close()
            watchers[0].viewer.close()
        stream.close()
        stream.close()
        assert all(watcher.viewer.closed for watcher in watchers)
        assert stream.stats().state == "closed"
        late = stream.subscribe("h264", lambda: None)
        assert late.closed
        stream.push(grey(1), time.monotonic())

    for _ in range(3):
        once()
    threads, before = threading.active_count(), resident()
    for _ in range(8):
        once()
    assert threading.active_count() == threads
    # A forgotten stream would keep an engine, three encoders and 320x240 pictures: 5 MB each.
    assert resident() - before < 20_000
