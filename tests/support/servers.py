"""A real server on a free port of loopback, and a plain client for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from streamfx.server.config import ServerConfig
from streamfx.server.hub import HUB, Hub
from streamfx.server.run import Server

T = TypeVar("T")

SECONDS = 60.0  # that anything may take on a busy machine
LIVE = {"backend": "onnxruntime", "threads": 1}


def config_of(pack: Path, **settings: Any) -> ServerConfig:
    """A configuration for tests: a free port and the small pack."""
    live = {**LIVE, **settings.pop("live", {})}
    return ServerConfig.model_validate({"port": 0, "pack": str(pack), "live": live, **settings})


def eventually(condition: Callable[[], T], seconds: float = SECONDS) -> T:
    """What `condition` returns, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return found


@dataclass
class Answer:
    """What a server answered; header names are as it wrote them."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal, which is all that its body has."""
        assert list(self.json) == ["error"]
        return str(self.json["error"])


class Running:
    """A server that runs on a thread of its own."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self._loop = loop

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def hub(self) -> Hub:
        return self.server.app[HUB]

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something on the server's event loop."""

        async def body() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(body(), self._loop).result(SECONDS)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        data: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        """Send `body` as JSON or `data` as it is; a header of None as value is left out."""
        sent = dict(headers or {})
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection = self.connect()
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@contextmanager
def running(config: ServerConfig) -> Iterator[Running]:
    """A server that runs until the block ends; it must start and stop cleanly."""
    server = Server(config)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        try:
            await server.start()
            started.set_result((asyncio.get_running_loop(), over))
        except BaseException as error:
            started.set_exception(error)
            return
        await over.wait()
        await server.stop()

    with ThreadPoolExecutor(1, "server") as threads:
        serving = threads.submit(asyncio.run, serve())
        loop, over = started.result(SECONDS)
        try:
            yield Running(server, loop)
        finally:
            loop.call_soon_threadsafe(over.set)
            serving.result(SECONDS)
