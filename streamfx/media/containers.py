"""Which containers and codecs the program writes, and what goes into which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamfx.errors import InputError

_SURROUND = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
_PCM = frozenset(
    {"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le", "pcm_u8"}
)


@dataclass(frozen=True)
class Container:
    """One kind of output file.

    Attributes:
        muxer: FFmpeg's name of the format.
        video: the video codecs that it takes, the default first.
        audio: the sound codecs that are copied into it as they are.
        audio_encoder: what other sound becomes.
        subtitles: the subtitle codecs that are copied into it as they are.
        text_encoder: what other text subtitles become; None where it has no text subtitles.
        attachments: whether it takes attached files (fonts).
        covers: whether it takes a cover picture as a stream of its own.
        shape: whether it stores the sample aspect ratio beside any codec; Matroska's muxer
            does not, so there only the codec itself can carry it.
    """

    muxer: str
    video: tuple[str, ...]
    audio: frozenset[str]
    audio_encoder: str
    subtitles: frozenset[str] = frozenset()
    text_encoder: str | None = None
    attachments: bool = False
    covers: bool = False
    shape: bool = True


_MP4 = Container(
    "mp4",
    ("h264", "hevc", "av1", "vp9"),
    _SURROUND,
    "aac",
    frozenset({"mov_text"}),
    "mov_text",
    covers=True,
)
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container(
        "mov",
        ("h264", "hevc"),
        (_SURROUND | _PCM) - {"opus", "flac"},
        "aac",
        frozenset({"mov_text"}),
        "mov_text",
    ),
    ".mkv": Container(
        "matroska",
        ("h264", "hevc", "av1", "vp9"),
        _SURROUND | _PCM | {"vorbis", "mp2", "dts", "truehd"},
        "libopus",
        frozenset(
            {"subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle"} | {"dvb_subtitle"}
        ),
        "subrip",
        attachments=True,
        shape=False,
    ),
    ".webm": Container(
        "webm",
        ("vp9", "av1"),
        frozenset({"opus", "vorbis"}),
        "libopus",
        frozenset({"webvtt"}),
        "webvtt",
        shape=False,
    ),
    ".ts": Container(
        "mpegts",
        ("h264", "hevc"),
        frozenset({"aac", "mp2", "mp3", "ac3", "eac3"}),
        "aac",
        frozenset({"dvb_subtitle"}),
    ),
}


@dataclass(frozen=True)
class Codec:
    """One video encoder.

    Attributes:
        encoder: FFmpeg's name.
        crf: the constant-quality setting unless told, 0 to `worst`.
        preset: the speed unless told.
        presets: every speed, the fastest first.
        preset_option: the encoder's own name for the speed.
        options: what is always set.
        smallest: the least width and height in pixels.
        tag: the four-character code that players of MP4 and MOV expect, "" for the usual one.
        shape: whether its own bit stream carries the sample aspect ratio.
        parallel: worth a thread per core; x264 is fast enough to leave the cores to the engine.
    """

    encoder: str
    crf: int
    worst: int
    preset: str
    presets: tuple[str, ...]
    preset_option: str = "preset"
    options: tuple[tuple[str, str], ...] = ()
    smallest: int = 2
    tag: str = ""
    shape: bool = False
    parallel: bool = True


_X26X = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
CODECS = {
    "h264": Codec("libx264", 20, 51, "veryfast", _X26X, shape=True, parallel=False),
    "hevc": Codec(
        "libx265",
        24,
        51,
        "veryfast",
        _X26X,
        options=(("x265-params", "log-level=none"),),
        smallest=16,
        tag="hvc1",
        shape=True,
    ),
    "av1": Codec("libsvtav1", 32, 63, "10", tuple(str(n) for n in range(13, -1, -1)), smallest=16),
    "vp9": Codec(
        "libvpx-vp9",
        31,
        63,
        "6",
        tuple(str(n) for n in range(8, -1, -1)),
        preset_option="cpu-used",
        options=(("deadline", "good"), ("row-mt", "1"), ("b", "0")),
    ),
}


def container_of(path: Path) -> Container:
    """The container that the name of the output asks for.

    Raises:
        InputError: nothing is written with that extension.
    """
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise InputError(
            f"cannot write {str(path)!r}: a video's name ends in {', '.join(CONTAINERS)}, "
            f"not in {path.suffix or 'nothing'!r}"
        )
    return found


@dataclass(frozen=True)
class Encoding:
    """How the picture is encoded; None stands for the container's or the codec's default."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None

    def settle(self, container: Container) -> Encoding:
        """The same with every default filled in.

        Raises:
            InputError: the container does not take the codec, or the codec has no such
                quality or preset.
        """
        codec = self.codec or container.video[0]
        if codec not in CODECS:
            raise InputError(f"the codecs are {', '.join(CODECS)}, not {codec!r}")
        if codec not in container.video:
            raise InputError(
                f"the {container.muxer} container takes {', '.join(container.video)}, not {codec}"
            )
        known = CODECS[codec]
        crf = known.crf if self.crf is None else self.crf
        if not 0 <= crf <= known.worst:
            raise InputError(f"the crf of {codec} is from 0 to {known.worst}, not {crf}")
        preset = self.preset or known.preset
        if preset not in known.presets:
            raise InputError(
                f"the presets of {codec} are {', '.join(known.presets)}, not {preset!r}"
            )
        return Encoding(codec, crf, preset)
