"""Which sinks a stream may be sent to when somebody names one over HTTP.

A sink named over HTTP is a way out, and on to the server's disk and devices. So what the
configuration named is open, keys and all; everything else only within the protocols, folders
and addresses of the configuration.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import PurePath

from streamfx.endpoints import Endpoint, parse_sink
from streamfx.errors import InputError
from streamfx.server.admission import Forbidden, candidates, check_public
from streamfx.server.config import ServerConfig

_NO_HOST = frozenset({"camera", "tcp-listen", "http-listen"})  # kinds that connect to nobody


class SinkPolicy:
    """Decides about sinks that are named over HTTP."""

    def __init__(self, config: ServerConfig) -> None:
        self._named = config.named_sinks
        self._protocols = frozenset(config.sinks.protocols)
        self._folders = tuple(folder.resolve() for folder in config.sinks.folders)
        self._private = config.sinks.private_addresses

    def admit(self, text: str) -> Endpoint:
        """The sink called `text`; it may take as long as looking up a host does.

        Text that the configuration has is read as it is there, with `$NAME` from the
        environment: so it can be asked for without knowing the key.

        Raises:
            Forbidden: the configuration does not allow it.
            InputError: it is allowed and its folder is not there, or it is no sink.
        """
        if text in self._named:
            return trusted_sink(text)
        endpoint = parse_sink(text)
        if endpoint.scheme == "file":
            return self._file(endpoint)
        if endpoint.scheme not in self._protocols:
            raise Forbidden(
                f"sinks by {endpoint.scheme}: are not allowed here, and the configuration names "
                "none of this name; its sinks.protocols opens protocols"
            )
        if not self._private and endpoint.kind not in _NO_HOST:
            check_public(endpoint, "sinks")
        return endpoint

    def _file(self, endpoint: Endpoint) -> Endpoint:
        inside = candidates(
            endpoint.target,
            self._folders,
            "nothing is recorded outside the allowed folders; the configuration's sinks.folders "
            "opens folders",
        )
        wanted = PurePath(endpoint.target).suffix
        path = next((p for p in inside if p.parent.is_dir() and p.suffix == wanted), None)
        if path is None:
            raise InputError(f"there is no folder for {endpoint.shown!r} in the allowed folders")
        return replace(endpoint, target=str(path), shown=path.name)


def trusted_sink(text: str) -> Endpoint:
    """A sink that the configuration named, with variables of the environment.

    Raises:
        InputError: it is none.
    """
    return parse_sink(text, os.environ)
