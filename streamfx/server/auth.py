"""Bearer tokens (RFC 6750): publishing, watching and controlling have one each."""

from __future__ import annotations

import hmac
from typing import Literal

from aiohttp import web

from streamfx.server.config import CONFIG

Scope = Literal["publish", "watch", "control"]


def allowed(request: web.Request, *scopes: Scope) -> bool:
    """Whether a request may do what `scopes[0]` guards; the other scopes' tokens do as well.

    What has no token in the configuration is open.
    """
    tokens = request.app[CONFIG].tokens
    if getattr(tokens, scopes[0]) is None:
        return True
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    given = text.strip().encode(errors="surrogateescape")  # a header may hold any bytes
    wanted = [token for scope in scopes if (token := getattr(tokens, scope)) is not None]
    # Every token is compared, in constant time, so that the time taken says nothing.
    matches = [hmac.compare_digest(given, token.get_secret_value().encode()) for token in wanted]
    return kind.lower() == "bearer" and any(matches)


def require(request: web.Request, *scopes: Scope) -> None:
    """Let a request pass that may do what `scopes[0]` guards.

    Raises:
        web.HTTPUnauthorized: it carries none of the scopes' tokens.
    """
    if not allowed(request, *scopes):
        said = "wrong" if "Authorization" in request.headers else "missing"
        raise web.HTTPUnauthorized(
            text=f"the {scopes[0]} token is {said}; send it as: Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": f'Bearer realm="streamfx", scope="{scopes[0]}"'},
        )
