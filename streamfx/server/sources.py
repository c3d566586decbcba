"""Which files and URLs may be opened when somebody names one over HTTP, and how.

A source named over HTTP is a way in: a path could be any file of the server, and FFmpeg knows
URLs that read files, make requests or run through playlists. So `demo:` and what the command
line named are open; everything else only within the protocols and folders of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from streamfx.errors import InputError, StreamFXError
from streamfx.server.config import DEMO

if TYPE_CHECKING:
    from streamfx.live.stream import LiveStream
    from streamfx.server.config import ServerConfig

LONGEST = 2000  # characters

# What FFmpeg may use for each protocol: a redirect or a playlist leads nowhere else.
_WHITELISTS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtp,udp,tls,tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
    "udp": "udp",
}
# Containers that hold their media themselves: playlists and scripts name other files.
_CONTAINERS = "mov,matroska,webm,avi,flv,mpegts,mpeg,ogg,mxf,asf,ivf,gif,h264,hevc"

# Anything that FFmpeg could read as a protocol; a drive letter is one character.
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.,-]+):")


class Forbidden(StreamFXError):
    """The configuration does not allow it (HTTP 403)."""


class Source(Protocol):
    """Something that pushes frames into a stream from threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """End the threads; harmless when they have ended, or never began."""


@dataclass(frozen=True)
class Admitted:
    """A source that may be opened.

    Attributes:
        shown: what others see of it: no password, no folder of the server.
        target: `demo:`, a path or a URL.
        options: for FFmpeg.
    """

    shown: str
    target: str
    options: dict[str, str] = field(default_factory=dict)

    def open(
        self, stream: LiveStream, loop: bool, on_end: Callable[[Exception | None], None]
    ) -> Source:
        """The source, not started; `on_end` is called from its thread when it ended by itself."""
        if self.target == DEMO:
            from streamfx.live.demo import DemoSource

            return DemoSource(stream)
        from streamfx.live.files import FileSource

        return FileSource(stream, self.target, loop=loop, options=self.options, on_end=on_end)


class SourcePolicy:
    """Decides about sources that are named over HTTP."""

    def __init__(self, config: ServerConfig) -> None:
        self._named = config.source
        self._protocols = frozenset(config.sources.protocols)
        self._folders = tuple(folder.resolve() for folder in config.sources.folders)

    @property
    def allows_more_than_demo(self) -> bool:
        return bool(self._protocols or self._folders or self._named)

    def admit(self, text: str) -> Admitted:
        """The source called `text`.

        A path that is not absolute is looked for in the allowed folders.

        Raises:
            Forbidden: the configuration does not allow it.
            InputError: it is allowed and is not there, or it cannot be the name of a source.
        """
        if not text or len(text) > LONGEST or not text.isprintable():
            raise InputError(f"a source is {DEMO}, a path or a URL of at most {LONGEST} characters")
        if text in (DEMO, self._named):
            return trusted(text)
        scheme = _SCHEME.match(text)
        if scheme is None:
            return self._file(text)
        protocol = scheme[1].lower()
        if protocol not in self._protocols or not text[scheme.end() :].startswith("//"):
            raise Forbidden(
                f"sources by {protocol[:20]}: are not allowed here; the server's "
                "--allow-protocol opens protocols"
            )
        return Admitted(masked(text), text, {"protocol_whitelist": _WHITELISTS[protocol]})

    def _file(self, text: str) -> Admitted:
        try:
            # Links are followed before the comparison: what counts is where the file really is.
            found = [(folder / text).resolve() for folder in self._folders]
            inside = [
                path
                for path, folder in zip(found, self._folders, strict=True)
                if path.is_relative_to(folder)
            ]
            if not inside or ".." in Path(text).parts:
                raise Forbidden(
                    "files outside the allowed folders are not sources; the server's "
                    "--allow-folder opens folders"
                )
            path = next((path for path in inside if path.is_file()), None)
        except (OSError, RuntimeError) as error:
            raise InputError(f"the path {text[:100]!r} cannot be followed: {error}") from error
        if path is None:
            raise InputError(f"there is no file {text[:100]!r} in the allowed folders")
        return Admitted(
            path.name, str(path), {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
        )


def trusted(text: str) -> Admitted:
    """A source that the command line or the configuration named: anything FFmpeg opens."""
    if text == DEMO or _SCHEME.match(text):
        return Admitted(masked(text), text)
    return Admitted(Path(text).name, str(Path(text).resolve()))


def masked(text: str) -> str:
    """`text` without user name, password, query and, of RTMP, the stream key, where it is a URL."""
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
    return parts._replace(path=path, netloc=host, query="", fragment="").geturl()
