"""What the HTTP API takes and gives; its OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from streamfx.endpoints import LONGEST
from streamfx.explore import MOST_CANDIDATES, MOST_KEPT
from streamfx.expressions import MOST_CHARACTERS, MOST_SEED
from streamfx.live.settings import LONGEST_AUDIO_DELAY_MS, LONGEST_FADE_MS
from streamfx.server.config import MOST_SINKS, STREAM_ID

StreamId = Annotated[
    str, StringConstraints(pattern=f"^{STREAM_ID}$", max_length=64), Field(examples=["live"])
]
Expression = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_CHARACTERS),
    Field(examples=["great-wave", "cafe-terrace:0.6+starry-night:0.4"]),
]
Strength = Annotated[float, Field(ge=0, le=1, description="0 = the input, 1 = the full style")]
AudioDelay = Annotated[
    int,
    Field(
        ge=-LONGEST_AUDIO_DELAY_MS,
        le=LONGEST_AUDIO_DELAY_MS,
        description="how much later the sound comes; below 0 the picture comes later",
    ),
]
EndpointName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
Size = tuple[int, int]


class _Request(BaseModel):
    # Strict: "1" is no number and 1 is no boolean.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class StreamChange(_Request):
    """What to change about a stream; what is left out stays."""

    style: Expression | None = None
    strength: Strength | None = None
    enabled: bool | None = Field(None, description="false shows the picture as it came")
    fade_ms: Annotated[int, Field(ge=0, le=LONGEST_FADE_MS)] | None = Field(
        None, description="how long this and later changes take"
    )
    audio_delay_ms: AudioDelay | None = None


class NewStream(_Request):
    """A stream whose frames the server reads itself."""

    id: StreamId | None = None
    source: EndpointName = Field(
        description="demo:, a path, a URL or another name, as `streamfx relay` takes it",
        examples=["demo:"],
    )
    sinks: Annotated[list[EndpointName], Field(max_length=MOST_SINKS)] = Field(
        default_factory=list, description="where it is sent, as `streamfx relay --to` takes it"
    )
    loop: bool = Field(False, description="begin again at the end of a file")
    style: Expression | None = None
    strength: Strength | None = None
    audio_delay_ms: AudioDelay | None = None


class NewSink(_Request):
    """One more place that a stream is sent to."""

    sink: EndpointName = Field(
        description="as `streamfx relay --to` takes it", examples=["http+listen://127.0.0.1:8554"]
    )


class Percentiles(_Answer):
    """Milliseconds over the last ten seconds; 0 where nothing was measured."""

    p50: float
    p95: float


class Stats(_Answer):
    """What a stream does; counts are since its start, rates of the last seconds."""

    fps_in: float
    fps_out: float
    frames_in: int
    frames_restyled: int
    frames_out: int
    dropped: dict[str, int] = Field(description="frames that were not sent on, by reason")
    stages: dict[str, Percentiles] = Field(
        description="wait, restyle, encode, and delay: from capture to having been sent"
    )
    bitrate: int = Field(description="bits a second, of all encoders together")
    key_frames: int
    size_in: Size | None
    size_out: Size | None
    working_scale: float = Field(description="of the sides that the engine works at")
    audio_delay_ms: float = Field(
        description="how long sound is held back for the restyled picture, beside what was asked"
    )


class Sink(_Answer):
    """Where a stream is sent beside its viewers."""

    id: str
    sink: str = Field(description="its name without key, password, query or folder")
    state: Literal["waiting", "connecting", "sending", "retrying", "closed"]
    pictures: int = Field(description="sent since it began")
    sent_bytes: int
    dropped: int = Field(description="packets, or pictures of a camera, that it had no time for")
    connects: int = Field(description="how often it began")
    error: str = Field(description="why it is tried again; empty while all is well")


class Stream(_Answer):
    """A stream on the air."""

    id: str
    state: Literal["waiting", "live", "paused", "closed"]
    style: str
    strength: float
    enabled: bool
    fade_ms: int
    audio_delay_ms: int
    source: str = Field(description="whip, or its name without key, password, query or folder")
    source_error: str = Field(
        description="why a source that is away is tried again; empty while it is there"
    )
    sinks: list[Sink]
    viewers: int = Field(description="those who watch, and sinks that are being sent to")
    stats: Stats


class Streams(_Answer):
    streams: list[Stream]


class Style(_Answer):
    """A style of the pack, a picture that was added, or an expression that was kept."""

    name: str
    title: str
    author: str
    year: str
    licence: str
    kind: Literal["catalogue", "picture", "saved"]
    thumbnail: str


class Styles(_Answer):
    styles: list[Style]


class NewStyle(_Request):
    """An expression to be kept as a style."""

    name: Annotated[str, StringConstraints(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    style: Expression
    title: Annotated[str, StringConstraints(max_length=200)] = ""


class Exploration(_Request):
    """What to draw variations of; see the styles' expressions."""

    like: Expression | None = Field(None, description="what to vary; latent styles without it")
    kept: Annotated[list[Expression], Field(max_length=MOST_KEPT)] = Field(
        default_factory=list, description="those that pleased; the next ones are bred from them"
    )
    generation: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="how many times was chosen before; later ones lie closer together"
    )
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    count: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 9


class Preview(_Request):
    """A style to be seen on the picture of a stream; on the demo scene without one."""

    style: Expression
    stream: StreamId | None = None


class Candidates(_Answer):
    """Style expressions to choose from."""

    styles: list[str]


class IceServerInfo(_Answer):
    """As RTCPeerConnection takes it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class TokensNeeded(_Answer):
    publish: bool
    watch: bool
    control: bool


class Defaults(_Answer):
    style: str
    strength: float
    fade_ms: int


class PictureLimits(_Answer):
    picture_bytes: int
    picture_pixels: int


class SourcesInfo(_Answer):
    demo: bool
    allowed: bool = Field(description="whether any file or URL may be named")


class Info(_Answer):
    """What a page needs to know of the server."""

    version: str
    ice_servers: list[IceServerInfo] = Field(
        description="empty without the publish, watch or control token, where those are set"
    )
    tokens: TokensNeeded
    defaults: Defaults
    limits: PictureLimits
    sources: SourcesInfo


class Health(_Answer):
    status: Literal["ok"]
    streams: int
    version: str


class Error(_Answer):
    """What went wrong, in one sentence."""

    error: str
