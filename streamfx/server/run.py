"""A server on an address: started, and stopped in bounded time."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket

from aiohttp import web

from streamfx.errors import StreamFXError
from streamfx.server.app import make_app
from streamfx.server.config import ServerConfig
from streamfx.server.logs import AccessLogger
from streamfx.server.tls import secured

log = logging.getLogger(__name__)

_ANSWERS_WITHIN = 1.5  # seconds that running requests have at the end


class Server:
    """A StreamFX server.

    Args:
        config: where it listens, and all the rest.

    Attributes:
        app: the application.
        fingerprint: SHA-256 of the certificate that was made at the start, else None.

    Raises:
        InputError: the style pack, the style or the TLS files cannot be used.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.app = make_app(config)
        tls = secured(config)
        self.fingerprint = None if tls is None else tls.fingerprint
        self._config = config
        self._context = None if tls is None else tls.context
        self._runner = web.AppRunner(
            self.app,
            access_log_class=AccessLogger,
            access_log=log,
            shutdown_timeout=_ANSWERS_WITHIN,
            handle_signals=False,
        )

    async def start(self) -> None:
        """Listen and open the configured source.

        Raises:
            StreamFXError: the address cannot be had, for one because the port is taken.
        """
        host, port = self._config.host, self._config.port
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._context)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise StreamFXError(
                    f"port {port} on {host} is taken; choose another one with --port"
                ) from error
            raise StreamFXError(f"cannot listen on {host} port {port}: {error}") from error

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        """The address to give to others, without a slash at the end."""
        scheme = "http" if self._context is None else "https"
        host = _reachable(self._config.host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def stop(self) -> None:
        """Tell viewers and listeners, end sources and streams, and close the address."""
        await self._runner.cleanup()


def _reachable(host: str) -> str:
    """The host itself, or, where it stands for all addresses, the one that the network sees."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    v6 = address.version == 6
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the system only says which address it would use (RFC 5737, 3849).
            probe.connect(("2001:db8::1" if v6 else "192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if v6 else "127.0.0.1"
