"""The server's configuration: flags over environment over `streamfx.toml` over defaults."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from streamfx import machine
from streamfx.errors import InputError
from streamfx.live.settings import LiveSettings

DEFAULT_FILE = Path("streamfx.toml")
DEMO = "demo:"  # the source that names the program's own scene
STREAM_ID = r"[a-z0-9][a-z0-9-]{0,63}"
MOST_SINKS = 8  # of a stream


def masked(text: str) -> str:
    """A source's or sink's name without what may be secret in a URL.

    That is user name, password, query, options, and a path that ends in a key or is one.
    """
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return text.partition("://")[0] + "://…"
    if not host:
        return text
    path = parts.path
    if parts.scheme.startswith("rtmp"):
        path = path.rpartition("/")[0] + "/…"
    elif parts.scheme.startswith(("whip", "whep")):
        path = "/…"
    return parts._replace(path=path, netloc=host, query="", fragment="").geturl()


Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$", to_lower=True)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]+$", to_lower=True)]
SourceProtocol = Literal[
    "rtsp",
    "rtsps",
    "rtmp",
    "rtmps",
    "http",
    "https",
    "udp",
    "tcp",
    "rtmp+listen",
    "whep+http",
    "whep+https",
    "device",
    "screen",
]
SinkProtocol = Literal[
    "rtmp",
    "rtmps",
    "http",
    "https",
    "udp",
    "tcp",
    "tcp+listen",
    "http+listen",
    "whip+http",
    "whip+https",
    "camera",
]
Name = Annotated[str, StringConstraints(min_length=1), PlainSerializer(masked)]
StreamName = Annotated[str, StringConstraints(pattern=f"^{STREAM_ID}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tokens(_Part):
    """Bearer tokens; what has none is open to anyone who reaches the server."""

    publish: SecretStr | None = None
    watch: SecretStr | None = None
    control: SecretStr | None = None

    @field_validator("publish", "watch", "control")
    @classmethod
    def _usable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            text = token.get_secret_value()
            if not 8 <= len(text) <= 512 or not text.isascii() or not text.isprintable():
                raise ValueError("a token has 8 to 512 printable ASCII characters")
            if " " in text:
                raise ValueError("a token has no spaces")
        return token

    @property
    def complete(self) -> bool:
        return None not in (self.publish, self.watch, self.control)


class IceServer(_Part):
    """A STUN or TURN server, as RTCPeerConnection takes it."""

    urls: list[Annotated[str, StringConstraints(pattern=r"^(stun|stuns|turn|turns):\S+$")]] = Field(
        min_length=1
    )
    username: str | None = None
    credential: SecretStr | None = None


class Tls(_Part):
    """HTTPS: certificate and key from PEM files, or a certificate made at the start."""

    cert: Path | None = None
    key: Path | None = None
    self_signed: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a certificate and its key come together: give both files")
        if self.cert is not None and self.self_signed:
            raise ValueError("give certificate files or ask for a self-signed one, not both")
        return self

    @property
    def enabled(self) -> bool:
        return self.self_signed or self.cert is not None


class Sources(_Part):
    """What `POST /api/streams` may open beside `demo:` and what the configuration named.

    Attributes:
        protocols: what a name may begin with, beside a path.
        folders: where files may lie.
        private_addresses: whether a URL may lead to this machine or its network.
    """

    protocols: tuple[SourceProtocol, ...] = ()
    folders: tuple[Path, ...] = ()
    private_addresses: bool = False


class Sinks(_Part):
    """Where clients may send a stream to beside the sinks that the configuration named.

    Attributes:
        protocols, private_addresses: as for sources.
        folders: where recordings may be made.
    """

    protocols: tuple[SinkProtocol, ...] = ()
    folders: tuple[Path, ...] = ()
    private_addresses: bool = False


class StreamConfig(_Part):
    """A stream that has a place in the configuration.

    Attributes:
        source: what is restyled from the start; None = whoever publishes by this name.
        loop: begin again at the end of a file.
        sinks: where the stream is sent, whenever it is on the air.
    """

    source: Name | None = None
    loop: bool = False
    sinks: tuple[Name, ...] = Field((), max_length=MOST_SINKS)


class Limits(_Part):
    """Bounds of what clients send and hold."""

    json_bytes: int = Field(64 << 10, ge=1024)
    sdp_bytes: int = Field(256 << 10, ge=1024)
    picture_bytes: int = Field(12 << 20, ge=1024, le=64 << 20)
    picture_pixels: int = Field(40_000_000, ge=256, le=64_000_000)
    listeners: int = Field(64, ge=1)


class Log(_Part):
    """Log lines on the error stream."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class ServerConfig(_Part):
    """Everything that can be set about a server; unknown keys are refused.

    Made directly, it has what it is given and the defaults; `load_config` reads the file and
    the environment as well.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        tokens, tls, sources, sinks, limits, log: see their classes.
        insecure: allow an address that others reach without all three tokens.
        ice_servers: given to browsers and used by the server; none means host candidates alone.
        allowed_hosts: names beside `host` under which the server is reached.
        cors_origins: origins of foreign pages that may use /whip and /whep without a token.
        max_streams, max_viewers: more get 503.
        grace_seconds: how long the stream of a publisher that left stays.
        handshake_seconds: how long a new session may take to connect.
        pack: the style pack, a name or a file.
        source, loop, to: a stream in short: what is restyled from the start as the stream
            `live` (the demo scene as `demo`), and where it is sent.
        streams: streams by name.
        live: the settings of every stream.
    """

    host: HostName = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    tokens: Tokens = Tokens()
    insecure: bool = False
    tls: Tls = Tls()
    ice_servers: tuple[IceServer, ...] = ()
    allowed_hosts: tuple[HostName, ...] = ()
    cors_origins: tuple[Origin, ...] = ()
    sources: Sources = Sources()
    sinks: Sinks = Sinks()
    limits: Limits = Limits()
    log: Log = Log()
    max_streams: int = Field(default_factory=lambda: max(2, machine.cores()), ge=1, le=1000)
    max_viewers: int = Field(100, ge=1, le=10_000)
    grace_seconds: float = Field(30.0, ge=0, le=3600)
    handshake_seconds: float = Field(15.0, gt=0, le=120)
    pack: str = "default"
    source: Name | None = None
    loop: bool = False
    to: tuple[Name, ...] = Field((), max_length=MOST_SINKS)
    streams: dict[StreamName, StreamConfig] = {}
    live: LiveSettings = LiveSettings()

    @property
    def source_stream(self) -> str | None:
        """The name of the configured source's stream, None where there is no source."""
        if self.source is None:
            return None
        return "demo" if self.source == DEMO else "live"

    @property
    def configured(self) -> dict[str, StreamConfig]:
        """All configured streams by name, that of `source` first."""
        name = self.source_stream
        if name is None:
            return self.streams
        short = StreamConfig(source=self.source, loop=self.loop, sinks=self.to)
        return {name: short, **self.streams}

    @property
    def named_sources(self) -> frozenset[str]:
        """Every source that the configuration names, as it is written there."""
        sources = (stream.source for stream in self.configured.values())
        return frozenset(source for source in sources if source is not None)

    @property
    def named_sinks(self) -> frozenset[str]:
        """Every sink that the configuration names, as it is written there."""
        return frozenset(chain.from_iterable(s.sinks for s in self.configured.values()))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not (self.is_loopback or self.tokens.complete or self.insecure):
            lacking = ", ".join(
                name for name in ("publish", "watch", "control") if not getattr(self.tokens, name)
            )
            raise ValueError(
                f"others reach {self.host}, so it needs a token for {lacking}: set them, or "
                "--insecure if everyone there may do everything that has none"
            )
        return self

    @model_validator(mode="after")
    def _streams_fit(self) -> Self:
        if self.to and self.source is None:
            raise ValueError("`to` says where `source` is sent: give a source as well")
        if self.source_stream in self.streams:
            raise ValueError(
                f"`source` makes the stream {self.source_stream!r}, and so does "
                f"streams.{self.source_stream}: leave one out"
            )
        sources = [stream.source for stream in self.configured.values() if stream.source]
        if len(sources) > self.max_streams:
            raise ValueError(
                f"there are more sources than max_streams, {self.max_streams}: leave some out, "
                "or raise it"
            )
        return self


CONFIG: web.AppKey[ServerConfig] = web.AppKey("config", ServerConfig)


def load_config(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> ServerConfig:
    """The configuration: `flags` over the environment over the file over the defaults.

    The environment's variables are called `STREAMFX_SERVER__` and the keys in capitals, joined
    by `__`: `STREAMFX_SERVER__TOKENS__PUBLISH`; lists are JSON. The file has a table `[server]`.

    Args:
        file: a TOML file; None = `streamfx.toml` in this folder, if there is one.
        flags: nested keys of `ServerConfig`.

    Raises:
        InputError: the file cannot be read, or a value is wrong or unknown.
    """
    path = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(
            extra="forbid", env_prefix="STREAMFX_", env_nested_delimiter="__"
        )
        server: ServerConfig = ServerConfig()

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            given = InitSettingsSource(settings_cls, {"server": dict(flags or {})})
            return given, env_settings, TomlConfigSettingsSource(settings_cls, path)

    if file is not None and not file.is_file():
        raise InputError(f"there is no configuration file {str(file)!r}")
    try:
        return Settings().server
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except SettingsError as error:
        raise InputError(f"the environment is wrong: {error}") from error
    except ValidationError as error:
        raise InputError(_first_fault(error)) from error


def _first_fault(error: ValidationError) -> str:
    """One sentence; it never repeats the input, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"][1:]))
    said = first["msg"].removeprefix("Value error, ")
    return f"the server's configuration is wrong{' at ' if where else ''}{where}: {said}"
