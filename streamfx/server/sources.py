"""Which sources may be opened when somebody names one over HTTP, and how.

A source named over HTTP is a way in: a path could be any file of the server, and FFmpeg knows
URLs that read files, make requests or run through playlists. So `demo:` and what the
configuration named are open; everything else only within the protocols, folders and addresses
of the configuration.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamfx.capture import Source, open_source
from streamfx.endpoints import Endpoint, parse_source
from streamfx.errors import InputError
from streamfx.live.stream import LiveStream
from streamfx.server.admission import Forbidden, candidates, check_public
from streamfx.server.config import DEMO, ServerConfig

# What FFmpeg may use for each protocol: a redirect or a playlist leads nowhere else.
_WHITELISTS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtp,udp,tls,tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
    "udp": "udp",
    "tcp": "tcp",
}
# Containers that hold their media themselves: playlists and scripts name other files.
_CONTAINERS = "mov,matroska,webm,avi,flv,mpegts,mpeg,ogg,mxf,asf,ivf,gif,h264,hevc"
_NO_HOST = frozenset({"device", "screen", "rtmp-listen"})  # kinds that fetch nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admitted:
    """A source that may be opened.

    Attributes:
        endpoint: it.
        limits: options for FFmpeg, which keep it from going elsewhere.
    """

    endpoint: Endpoint
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """What others see of it: no key, password, query or folder."""
        return self.endpoint.shown

    def open(
        self, stream: LiveStream, loop: bool, on_end: Callable[[Exception | None], None]
    ) -> Source:
        """The source, not started; `on_end` is called from its thread when it ended by itself.

        Raises:
            InputError, StreamFXError: there is no such source here, or it cannot listen.
        """

        def say(text: str) -> None:
            log.info("source", extra={"stream": stream.name, "said": text})

        return open_source(
            self.endpoint, stream, loop=loop, on_end=on_end, say=say, limits=self.limits
        )


class SourcePolicy:
    """Decides about sources that are named over HTTP."""

    def __init__(self, config: ServerConfig) -> None:
        self._named = config.named_sources
        self._protocols = frozenset(config.sources.protocols)
        self._folders = tuple(folder.resolve() for folder in config.sources.folders)
        self._private = config.sources.private_addresses

    @property
    def allows_more_than_demo(self) -> bool:
        return bool(self._protocols or self._folders or self._named)

    def admit(self, text: str) -> Admitted:
        """The source called `text`; it may take as long as looking up a host does.

        A path that is not absolute is looked for in the allowed folders.

        Raises:
            Forbidden: the configuration does not allow it.
            InputError: it is allowed and is not there, or it cannot be the name of a source.
        """
        if text == DEMO or text in self._named:
            return trusted(text)
        endpoint = parse_source(text)
        if endpoint.kind == "file":
            return self._file(endpoint)
        scheme = endpoint.scheme
        if scheme not in self._protocols:
            raise Forbidden(
                f"sources by {scheme}: are not allowed here; the server's --allow-protocol opens "
                "protocols"
            )
        limits = {}
        if scheme in _WHITELISTS:
            limits["protocol_whitelist"] = _WHITELISTS[scheme]
        if not self._private and endpoint.kind not in _NO_HOST:
            check_public(endpoint, "sources")
            if endpoint.kind == "http":  # what a page or a playlist names is not looked at here
                limits |= {"max_redirects": "0", "format_whitelist": _CONTAINERS}
        return Admitted(endpoint, limits)

    def _file(self, endpoint: Endpoint) -> Admitted:
        text = endpoint.target
        inside = candidates(
            text,
            self._folders,
            "files outside the allowed folders are not sources; the server's --allow-folder opens "
            "folders",
        )
        try:
            path = next((path for path in inside if path.is_file()), None)
        except OSError as error:
            raise InputError(f"the path {text[:100]!r} cannot be followed: {error}") from error
        if path is None:
            raise InputError(f"there is no file {text[:100]!r} in the allowed folders")
        limits = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
        return Admitted(replace(endpoint, target=str(path), shown=path.name), limits)


def trusted(text: str) -> Admitted:
    """A source that the configuration named: anything, with variables of the environment.

    Raises:
        InputError: it is no source.
    """
    endpoint = parse_source(text, os.environ)
    if endpoint.kind == "file":
        endpoint = replace(endpoint, target=str(Path(endpoint.target).resolve()))
    return Admitted(endpoint)
