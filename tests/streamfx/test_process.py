"""Real files through `process_video` and `process_picture`: what must come out as it went in."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.containers import Encoding
from streamfx.media.sizes import WantedSize
from streamfx.process import End, Outcome, Settings, process_picture, process_video
from videos import RATE, TAGGED, Contents, Inverter, contents, level, make_sound, make_video

SUBTITLES = """1
00:00:00,100 --> 00:00:00,300
Hello

2
00:00:00,310 --> 00:00:00,390
world
"""
VARIABLE = [0, 512, 700, 1100, 1600, 1601, 3000, 8000, 8100, 8200, 9000]
FINE = Fraction(1, 12_800)


def restyle(
    source: Path, target: str, settings: Settings | None = None
) -> tuple[Contents, Outcome, list[str]]:
    """The output's contents, what became of the job, and what was said."""
    said: list[str] = []
    outcome = process_video(source, source.with_name(target), Inverter(), settings, say=said.append)
    assert outcome.path is not None
    assert_clean(source.parent)
    return contents(outcome.path), outcome, said


def assert_clean(folder: Path) -> None:
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


def assert_inverted(before: Contents, after: Contents, tolerance: float = 2.0) -> None:
    """Every frame came out, in its place."""
    expected = [255 - value for value in before.levels]
    assert after.levels == pytest.approx(expected, abs=tolerance)


def test_mp4_keeps_every_frame_time_sound_packet_and_tag(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        frames=25,
        sound="aac",
        metadata={"title": "A title", "comment": "Ours"},
        context=TAGGED,
    )
    before = contents(source)
    after, outcome, said = restyle(source, "out.mp4")
    assert outcome.end is End.DONE
    assert outcome.frames == 25
    assert after.times == before.times
    assert after.length == before.length
    assert after.sound == before.sound
    assert after.codecs == ["h264", "aac"]
    assert after.metadata["title"] == "A title"
    assert after.metadata["comment"] == "Ours"
    assert after.color == before.color == (1, 1, 1, 1)
    assert after.aspect == Fraction(4, 3)
    assert said == []
    assert_inverted(before, after)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("offset", [0, 1000])
def test_variable_timing_is_exact(tmp_path: Path, suffix: str, offset: int) -> None:
    times = [offset + t for t in VARIABLE]
    source = make_video(tmp_path / "in.mp4", times=times, time_base=FINE, last=777,
                        options={"bf": "0"}, muxer={"movie_timescale": "12800"})  # fmt: skip
    before = contents(source)
    assert before.times == [t * FINE for t in times]
    after, outcome, _ = restyle(source, f"out.{suffix}")
    if suffix == "mkv":  # counts in milliseconds; two frames are closer than that
        assert after.times == pytest.approx([float(t) for t in before.times], abs=0.00051)
    else:
        assert after.times == before.times
        assert after.length == before.length == (times[-1] - times[0] + 777) * FINE
    assert outcome.seconds == pytest.approx(float((times[-1] + 777) * FINE))


def test_a_transport_stream_begins_at_zero_and_keeps_its_pace(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.ts", sound="aac", times=range(90_000, 90_012))
    before = contents(source)
    after, _, _ = restyle(source, "out.mp4")
    shift = min(before.times[0], before.sound[0][0])
    assert shift > 2900
    assert after.times == [t - shift for t in before.times]
    assert after.sound[0][0] == pytest.approx(float(before.sound[0][0] - shift), abs=1e-4)
    assert len(after.sound) == len(before.sound)


def test_matroska_keeps_subtitles_chapters_languages_and_attachments(tmp_path: Path) -> None:
    (tmp_path / "t.srt").write_text(SUBTITLES)
    source = make_video(
        tmp_path / "in.mkv",
        sound="libopus",
        subtitles=tmp_path / "t.srt",
        attachment=b"a font",
        chapters=[
            {
                "id": 1 + index,
                "start": 200 * index,
                "end": 200 * index + 200,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": title},
            }
            for index, title in enumerate("AB")
        ],
    )
    before = contents(source)
    after, _, said = restyle(source, "out.mkv")
    assert after.kinds == before.kinds == ["video", "audio", "subtitle", "attachment"]
    assert after.codecs == ["h264", "opus", "subrip"]
    assert after.chapters == before.chapters == [(0, 0.2, "A"), (0.2, 0.4, "B")]
    assert after.languages == before.languages
    assert after.languages[2] == "eng"
    assert after.texts == before.texts
    assert len(after.texts) == 2
    assert after.sound == before.sound
    assert after.attachments == [b"a font"]
    assert said == []


def test_mp4_gets_text_subtitles_and_chapters_of_matroska(tmp_path: Path) -> None:
    (tmp_path / "t.srt").write_text(SUBTITLES)
    source = make_video(
        tmp_path / "in.mkv",
        subtitles=tmp_path / "t.srt",
        attachment=b"a font",
        chapters=[
            {"id": 1, "start": 100, "end": 300, "time_base": Fraction(1, 1000),
             "metadata": {"title": "A"}}
        ],
    )  # fmt: skip
    after, _, said = restyle(source, "out.mp4")
    texts = [(float(start), float(length), text[2:]) for start, length, text in after.texts]
    assert (0.1, 0.2, b"Hello") in [(round(s, 3), round(d, 3), t) for s, d, t in texts]
    assert [text for _, _, text in texts if text] == [b"Hello", b"world"]
    assert after.languages[1] == "eng"
    assert (0.1, 0.3, "A") in after.chapters
    assert said == [
        "the subrip subtitles become mov_text",
        "the attached file 'font.ttf' is left out: mp4 does not take it",
    ]


def test_webm_and_back(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.webm", codec="libvpx-vp9", sound="libopus")
    before = contents(source)
    after, _, said = restyle(source, "out.webm")
    assert after.codecs == ["vp9", "opus"]
    assert (after.times, after.sound, said) == (before.times, before.sound, [])
    assert_inverted(before, after, 4)


def test_sound_that_the_container_does_not_take_is_encoded_again(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30, sound="aac")
    before = contents(source)
    after, _, said = restyle(source, "out.webm")
    assert after.codecs == ["vp9", "opus"]
    assert said == ["the sound is aac, which webm does not take; it becomes libopus"]
    assert float(after.sound[-1][0]) == pytest.approx(float(before.sound[-1][0]), abs=0.05)


def test_opus_and_flac_go_into_mp4_as_they_are(tmp_path: Path) -> None:
    for sound in ("libopus", "flac"):
        source = make_video(tmp_path / f"{sound}.mkv", sound=sound)
        before = contents(source)
        after, _, said = restyle(source, f"{sound}.mp4")
        assert [data for _, data in after.sound] == [data for _, data in before.sound]
        assert (after.kinds, said) == (["video", "audio"], [])


def test_frames_without_timestamps_follow_each_other(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.h264")
    after, outcome, said = restyle(source, "out.mp4")
    assert outcome.frames == 12
    assert after.times == [Fraction(i, RATE) for i in range(12)]
    assert said == ["12 frames had no usable timestamp and follow the one before"]


def test_the_last_frame_lasts_as_long_as_the_others_where_nothing_is_stated(
    tmp_path: Path,
) -> None:
    source = make_video(tmp_path / "in.flv", codec="flv")
    after, outcome, _ = restyle(source, "out.mp4")
    assert outcome.seconds == pytest.approx(12 / RATE, abs=0.002)
    assert after.length == pytest.approx(12 / RATE, abs=0.002)


def test_a_cover_picture_stays_in_mp4(tmp_path: Path) -> None:
    cover = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 20)).save(cover, "PNG")
    source = make_video(tmp_path / "in.mp4", cover=cover.getvalue())
    after, _, said = restyle(source, "out.mp4")
    assert (after.codecs, said) == (["h264", "png"], [])
    with av.open(str(tmp_path / "out.mp4")) as file:
        kept = file.streams.video[1]
        assert kept.disposition & Disposition.attached_pic
        assert [bytes(p) for p in file.demux(kept) if p.size] == [cover.getvalue()]


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_rotated_picture_is_stored_upright(tmp_path: Path, rotation: int, suffix: str) -> None:
    source = make_video(
        tmp_path / f"in.{suffix}",
        rotation=rotation,
        context={"sample_aspect_ratio": Fraction(4, 3)},
    )
    before = contents(source)
    after, _, _ = restyle(source, f"out.{suffix}")
    # PyAV's `rotation` counts anticlockwise, as numpy's rot90 does.
    upright = [np.rot90(255 - y, rotation // 90) for y in before.lumas]
    assert after.rotation == 0
    assert after.size == ((64, 48) if rotation == 180 else (48, 64))
    assert after.aspect == (Fraction(4, 3) if rotation == 180 else Fraction(3, 4))
    assert np.abs(np.stack(after.lumas).astype(int) - np.stack(upright)).mean() < 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "color_range"),
    [
        ("libx264", "yuv422p10le", 0),
        ("libx264", "yuv444p", 0),
        ("libx264", "yuvj420p", 2),
        ("libx264rgb", "rgb24", 0),
        ("ffv1", "bgra", 0),
        ("ffv1", "gray", 0),
        ("ffv1", "yuv420p10le", 0),
    ],
)
def test_other_pixel_formats(tmp_path: Path, codec: str, pix_fmt: str, color_range: int) -> None:
    source = make_video(tmp_path / "in.mkv", codec=codec, pix_fmt=pix_fmt)
    before = contents(source)
    inverter = Inverter()
    process_video(source, tmp_path / "out.mp4", inverter)
    after = contents(tmp_path / "out.mp4")
    assert after.times == before.times
    frame = inverter.frames[0]
    assert (frame.y.shape, frame.u.shape, frame.v.shape) == ((48, 64), (24, 32), (24, 32))
    assert all(p.flags.c_contiguous and p.dtype == np.uint8 for p in (frame.y, frame.u, frame.v))
    if color_range:
        assert frame.color.range == after.color[1] == color_range
    full = frame.color.range == 2
    expected = [level(i) if full else 16 + level(i) * 219 / 255 for i in range(12)]
    seen = [float(f.y[:, :32].mean()) for f in inverter.frames]
    assert seen == pytest.approx(expected, abs=2)
    assert abs(float(frame.u.mean()) - 128) < 2  # grey stays grey


def test_native_planes_reach_the_restyler_untouched(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", size=(72, 50))  # rows are padded in memory
    inverter = Inverter()
    process_video(source, tmp_path / "out.mkv", inverter)
    with av.open(str(source)) as file:
        decoded = [frame.to_ndarray() for frame in file.decode(video=0)]
    passed = [
        np.concatenate([f.y.ravel(), f.u.ravel(), f.v.ravel()]).reshape(75, 72)
        for f in inverter.frames
    ]
    assert np.array_equal(passed, decoded)


@pytest.mark.parametrize("size", [(65, 49), (65, 48), (1, 1)])
def test_odd_sizes_grow_by_one(tmp_path: Path, size: tuple[int, int]) -> None:
    source = make_video(tmp_path / "in.mkv", codec="ffv1", size=size)
    after, outcome, said = restyle(source, "out.mp4")
    assert after.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert outcome.frames == 12
    assert "odd" in said[0]


def test_interlaced_pictures_are_deinterlaced_frame_for_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", options={"x264-params": "tff=1"})
    before = contents(source)
    after, _, said = restyle(source, "out.mp4")
    assert after.times == before.times
    assert said == ["the picture is interlaced and was deinterlaced, frame for frame"]
    assert_inverted(before, after)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: int, name: str) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        pix_fmt="yuv420p10le",
        context={"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": transfer},
    )
    inverter = Inverter()
    said: list[str] = []
    process_video(source, tmp_path / "out.mp4", inverter, say=said.append)
    assert said == [f"the picture is HDR ({name}) and is tone-mapped to BT.709"]
    assert contents(tmp_path / "out.mp4").color == (1, 1, 1, 1)
    ramp = inverter.frames[0].y[:, -8:].mean(axis=1)
    assert np.all(np.diff(ramp) >= -1)  # brighter stays brighter, nothing clips
    assert ramp[-1] - ramp[0] > 60
    assert ramp[-1] > ramp[-6]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("hevc", "mp4"), ("av1", "mp4"), ("av1", "webm"), ("vp9", "mkv")]
)
def test_other_codecs(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=20)
    before = contents(source)
    settings = Settings(encoding=Encoding(codec, crf=20))
    after, outcome, _ = restyle(source, f"out.{suffix}", settings)
    assert outcome.frames == 20
    assert after.codecs == [codec]
    assert [float(t) for t in after.times] == pytest.approx(
        [float(t) for t in before.times], abs=0.00051
    )
    assert_inverted(before, after, 4)


def test_start_and_duration_cut_picture_and_sound(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60, sound="aac")
    before = contents(source)
    after, outcome, _ = restyle(source, "out.mp4", Settings(start=0.5, duration=1.0))
    assert outcome.frames == 30
    assert after.times == [t - Fraction(1, 2) for t in before.times[15:45]]
    assert after.levels == pytest.approx([255 - v for v in before.levels[15:45]], abs=2)
    heard = dict(before.sound)
    kept = [data for time, data in before.sound if 0.5 <= time < 1.5]
    assert [data for _, data in after.sound] == kept
    assert all(heard[time + Fraction(1, 2)] == data for time, data in after.sound)


def test_sizes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", size=(160, 90))
    after, _, _ = restyle(source, "a.mp4", Settings(size=WantedSize.parse("64x36")))
    assert (after.size, after.aspect) == ((64, 36), 1)
    after, _, _ = restyle(source, "b.mp4", Settings(size=WantedSize.parse("54p")))
    assert (after.size, after.aspect) == ((96, 54), 1)
    after, _, _ = restyle(source, "c.mp4", Settings(size=WantedSize.parse("64x64")))
    assert (after.size, after.aspect) == ((64, 64), Fraction(16, 9))


def test_a_shape_that_webm_cannot_say_becomes_square_pixels(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", context={"sample_aspect_ratio": Fraction(3, 2)})
    after, _, said = restyle(source, "out.webm")
    assert (after.size, after.aspect) == ((96, 48), 1)
    assert "square pixels" in said[0]


def test_stopping_keeps_a_playable_part(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=90, sound="aac")
    stop = Event()

    def progress(done: int, expected: int) -> None:
        assert expected == 90
        if done == 20:
            stop.set()

    outcome = process_video(
        source, tmp_path / "out.mp4", Inverter(), progress=progress, stop=stop
    )  # fmt: skip
    assert outcome.end is End.STOPPED
    assert outcome.path == tmp_path / "out.partial.mp4"
    assert 20 <= outcome.frames < 90
    after, before = contents(outcome.path), contents(source)
    assert after.times == before.times[: outcome.frames]
    assert not (tmp_path / "out.mp4").exists()
    assert_clean(tmp_path)


def test_stopping_at_once_leaves_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", options={"bf": "0", "tune": "zerolatency"})
    stop = Event()
    stop.set()
    outcome = process_video(source, tmp_path / "out.mp4", Inverter(), stop=stop)
    assert outcome.end is End.STOPPED
    assert outcome.frames <= 1
    assert_clean(tmp_path)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_file_that_is_cut_off_yields_what_it_has(tmp_path: Path, suffix: str) -> None:
    whole = make_video(
        tmp_path / f"whole.{suffix}",
        frames=240,
        options={"g": "10"},
        muxer={"movflags": "faststart"} if suffix == "mp4" else {},
    )
    data = whole.read_bytes()
    source = tmp_path / f"in.{suffix}"
    source.write_bytes(data[: len(data) // 2])
    after, outcome, _ = restyle(source, "out.mp4")
    assert outcome.end is End.CUT_OFF
    assert outcome.path == tmp_path / "out.partial.mp4"
    assert 20 < outcome.frames < 220
    assert after.times == sorted(set(after.times) & set(contents(whole).times))
    assert not (tmp_path / "out.mp4").exists()


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60, size=(160, 96), options={"g": "10"})
    before = contents(source)
    data = bytearray(source.read_bytes())
    at = data.index(b"mdat") + 4
    middle = at + (len(data) - at) // 3
    data[middle : middle + 600] = bytes(range(256)) * 2 + bytes(88)
    source.write_bytes(data)
    after, outcome, _ = restyle(source, "out.mp4")
    assert outcome.end is End.DONE
    assert 30 < outcome.frames <= 60
    assert set(after.times) <= set(before.times)


def test_a_picture_that_changes_its_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    for name, size in (("a", (64, 48)), ("b", (96, 64))):
        make_video(tmp_path / f"{name}.ts", size=size, options={"bf": "0"},
                   times=range(0, 12) if name == "a" else range(12, 24))  # fmt: skip
    source = tmp_path / "in.ts"
    source.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    after, outcome, said = restyle(source, "out.mp4")
    assert outcome.frames == 24
    assert {y.shape for y in after.lumas} == {(48, 64)}
    assert sum("mid-stream" in line for line in said) == 1


def _no_file(folder: Path) -> Path:
    return folder / "nothing.mp4"


def _empty(folder: Path) -> Path:
    (folder / "in.mp4").touch()
    return folder / "in.mp4"


def _garbage(folder: Path) -> Path:
    (folder / "in.mp4").write_bytes(np.random.default_rng(1).bytes(50_000))
    return folder / "in.mp4"


def _text(folder: Path) -> Path:
    (folder / "in.txt").write_text("not a video\n" * 100)
    return folder / "in.txt"


def _without_index(folder: Path) -> Path:
    data = make_video(folder / "whole.mp4").read_bytes()
    (folder / "in.mp4").write_bytes(data[: data.index(b"moov")])
    return folder / "in.mp4"


def _encrypted(folder: Path) -> Path:
    key = "00112233445566778899aabbccddeeff"
    cenc = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    return make_video(folder / "in.mp4", muxer=cenc)


def _playlist(folder: Path) -> Path:
    make_video(folder / "part.ts")
    (folder / "in.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\npart.ts\n#EXT-X-ENDLIST\n"
    )
    return folder / "in.m3u8"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_no_file, "there is no file"),
        (_empty, "is empty"),
        (_garbage, "not a video that can be read"),
        (_text, "not a video"),
        (_without_index, "not a video that can be read"),
        (_playlist, "not a video"),
        (_encrypted, "is encrypted"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: make_sound(folder / "in.m4a"), "only sound"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    source = make(tmp_path)
    with pytest.raises(InputError, match=reason) as caught:
        process_video(source, tmp_path / "out.mp4", Inverter())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()
    assert_clean(tmp_path)


@pytest.mark.parametrize(
    ("target", "encoding", "reason"),
    [
        ("out.avi", Encoding(), "ends in"),
        ("out", Encoding(), "ends in"),
        ("out.webm", Encoding("h264"), "takes vp9"),
        ("out.mp4", Encoding("h264", crf=99), "from 0 to 51"),
        ("out.mp4", Encoding("h264", preset="fastest"), "presets"),
        ("out.mp4", Encoding("mpeg2"), "codecs are"),
    ],
)
def test_bad_settings(tmp_path: Path, target: str, encoding: Encoding, reason: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(InputError, match=reason):
        process_video(source, tmp_path / target, Inverter(), Settings(encoding=encoding))


def test_nothing_after_the_end(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    with pytest.raises(InputError, match="nothing after 9 s"):
        process_video(source, tmp_path / "out.mp4", Inverter(), Settings(start=9))


def test_an_error_of_the_restyler_stops_everything_and_leaves_nothing(tmp_path: Path) -> None:
    class Failing(Inverter):
        def __call__(self, frame: Frame) -> Frame:
            if len(self.frames) == 3:
                raise StreamFXError("the engine broke")
            return super().__call__(frame)

    source = make_video(tmp_path / "in.mp4", frames=60)
    with pytest.raises(StreamFXError, match="the engine broke"):
        process_video(source, tmp_path / "out.mp4", Failing())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_disk_without_room_leaves_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60, size=(320, 240))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(StreamFXError, match=r"cannot (write|finish) the output: "):
            process_video(source, tmp_path / "out.mp4", Inverter())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(StreamFXError, match="cannot write"):
        process_video(source, Path("/proc/out.mp4"), Inverter())


def _photo(mode: str) -> Image.Image:
    ramp = np.linspace(0, 255, 60 * 41).reshape(60, 41).astype(np.uint8)
    rgb = np.dstack([ramp, ramp[::-1], np.full_like(ramp, 90)])
    return Image.fromarray(rgb).convert(mode)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
def test_pictures_keep_size_and_content(tmp_path: Path, suffix: str) -> None:
    _photo("RGB").save(tmp_path / "in.png")
    outcome = process_picture(tmp_path / "in.png", tmp_path / f"out.{suffix}", Inverter())
    assert outcome.end is End.DONE
    with Image.open(tmp_path / f"out.{suffix}") as image:
        after: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    assert np.abs(after.astype(int) - (255 - np.asarray(_photo("RGB")))).mean() < 3
    assert_clean(tmp_path)


def test_a_turned_photo_comes_out_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _photo("RGB").save(tmp_path / "in.jpg", exif=exif, quality=95)
    process_picture(tmp_path / "in.jpg", tmp_path / "out.png", Inverter())
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (60, 41)


def test_transparency_is_said(tmp_path: Path) -> None:
    _photo("RGBA").save(tmp_path / "in.png")
    said: list[str] = []
    process_picture(tmp_path / "in.png", tmp_path / "out.png", Inverter(), say=said.append)
    assert said == ["transparency lies on white"]


def test_a_16_bit_picture_is_reduced(tmp_path: Path) -> None:
    wide = np.linspace(0, 65_535, 60 * 40).astype(np.uint16).reshape(60, 40)
    Image.fromarray(wide).save(tmp_path / "in.png")
    process_picture(tmp_path / "in.png", tmp_path / "out.png", Inverter())
    with Image.open(tmp_path / "out.png") as image:
        after: NDArray[np.uint8] = np.asarray(image.convert("L"))
    assert np.abs(after.astype(int) - (255 - wide / 257)).max() < 2
