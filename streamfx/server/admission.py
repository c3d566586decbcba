"""What sources and sinks named over HTTP have in common: which folder, and which host."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from streamfx.endpoints import Endpoint
from streamfx.errors import InputError, StreamFXError


class Forbidden(StreamFXError):
    """The configuration does not allow it (HTTP 403)."""


def candidates(text: str, folders: Sequence[Path], refusal: str) -> list[Path]:
    """Where in the allowed folders a path may lead, after every link on the way is followed.

    Args:
        text: absolute, or looked for in each folder.
        folders: resolved.
        refusal: of a path that leads out of all of them.

    Raises:
        Forbidden: it leads out.
        InputError: it cannot be followed.
    """
    try:
        # Links are followed before the comparison: what counts is where the file really is.
        found = [(folder / text).resolve() for folder in folders]
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"the path {text[:100]!r} cannot be followed: {error}") from error
    inside = [
        path for path, folder in zip(found, folders, strict=True) if path.is_relative_to(folder)
    ]
    if not inside or ".." in Path(text).parts:
        raise Forbidden(refusal)
    return inside


def check_public(endpoint: Endpoint, table: str) -> None:
    """Look up the host of a URL, which must be on the public internet.

    A server whose name then leads elsewhere, or that sends its client on, is not seen here.

    Args:
        table: of the configuration, where private addresses are allowed.

    Raises:
        Forbidden: it is this machine, its network, or no single machine.
        InputError: it is unknown.
    """
    host = endpoint.url.hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"the host of {endpoint.shown} is unknown: check its name") from error
    addresses = [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    if any(address.is_multicast or not address.is_global for address in addresses):
        raise Forbidden(
            f"{endpoint.shown} is an address of this machine or its network; the server's "
            f"{table}.private_addresses allows those"
        )
