"""A small obs-websocket 5 server: Hello, Identify with a password, and some requests.

It has one canvas, scenes with items, and inputs, and answers as OBS does, codes included.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack
from aiohttp import WSMsgType, web

SUBPROTOCOL = "obswebsocket.msgpack"
_SALT, _CHALLENGE = "c2FsdA==", "Y2hhbGxlbmdl"
_AUTHENTICATION_FAILED, _NOT_IDENTIFIED = 4009, 4007
_FINE, _UNKNOWN, _NOT_THERE, _THERE_ALREADY = 100, 204, 600, 601


def _hashed(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class No(Exception):
    """A request is refused with a code."""

    def __init__(self, code: int, comment: str) -> None:
        super().__init__(comment)
        self.code = code


@dataclass
class ObsDouble:
    """What it has; tests look at it and change it.

    Attributes:
        inputs: kind and settings by name.
        scenes: the items of each scene, by id: (source's name, transform).
        silent: requests that it never answers.
    """

    password: str = ""
    port: int = 0
    kinds: list[str] = field(default_factory=lambda: ["browser_source", "ffmpeg_source"])
    inputs: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    scenes: dict[str, dict[int, tuple[str, dict[str, Any]]]] = field(
        default_factory=lambda: {"Scene": {}, "Break": {}}
    )
    silent: set[str] = field(default_factory=set)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        hello: dict[str, Any] = {"obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
        if self.password:
            hello["authentication"] = {"challenge": _CHALLENGE, "salt": _SALT}
        await socket.send_bytes(msgpack.packb({"op": 0, "d": hello}))
        identified = False
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            payload = msgpack.unpackb(message.data)
            if payload["op"] == 1:
                wanted = _hashed(_hashed(self.password + _SALT) + _CHALLENGE)
                if self.password and payload["d"].get("authentication") != wanted:
                    await socket.close(code=_AUTHENTICATION_FAILED)
                    break
                identified = True
                await socket.send_bytes(msgpack.packb({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
            elif not identified:
                await socket.close(code=_NOT_IDENTIFIED)
            elif payload["d"]["requestType"] not in self.silent:
                await socket.send_bytes(msgpack.packb({"op": 7, "d": self._answer(payload["d"])}))
        return socket

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = {"requestType": asked["requestType"], "requestId": asked["requestId"]}
        handler = getattr(self, f"_{asked['requestType']}", None)
        try:
            if handler is None:
                raise No(_UNKNOWN, "")
            data = handler(**asked.get("requestData", {}))
        except No as no:
            status = {"result": False, "code": no.code, "comment": str(no)}
            return {**answer, "requestStatus": status}
        return {**answer, "requestStatus": {"result": True, "code": _FINE}, "responseData": data}

    def _GetCurrentProgramScene(self) -> Any:
        return {"currentProgramSceneName": next(iter(self.scenes))}

    def _GetSceneList(self) -> Any:
        return {"scenes": [{"sceneName": name} for name in self.scenes]}

    def _GetVideoSettings(self) -> Any:
        return {"baseWidth": 1920, "baseHeight": 1080, "fpsNumerator": 30, "fpsDenominator": 1}

    def _GetInputKindList(self, unversioned: bool) -> Any:
        assert unversioned
        return {"inputKinds": self.kinds}

    def _GetInputList(self) -> Any:
        return {
            "inputs": [
                {"inputName": name, "inputKind": f"{kind}_v2", "unversionedInputKind": kind}
                for name, (kind, _) in self.inputs.items()
            ]
        }

    def _CreateInput(
        self,
        sceneName: str,
        inputName: str,
        inputKind: str,
        inputSettings: dict[str, Any],
        sceneItemEnabled: bool,
    ) -> Any:
        if inputName in self.inputs:
            raise No(_THERE_ALREADY, "A source already exists by that input name.")
        self.inputs[inputName] = (inputKind, inputSettings)
        return self._CreateSceneItem(sceneName, inputName, sceneItemEnabled)

    def _SetInputSettings(
        self, inputName: str, inputSettings: dict[str, Any], overlay: bool
    ) -> None:
        kind, before = self.inputs[inputName]
        self.inputs[inputName] = (kind, {**before, **inputSettings} if overlay else inputSettings)

    def _CreateSceneItem(self, sceneName: str, sourceName: str, sceneItemEnabled: bool) -> Any:
        assert sceneItemEnabled
        number = sum(map(len, self.scenes.values())) + 1
        self.scenes[sceneName][number] = (sourceName, {})
        return {"sceneItemId": number}

    def _GetSceneItemId(self, sceneName: str, sourceName: str) -> Any:
        for number, (name, _) in self.scenes[sceneName].items():
            if name == sourceName:
                return {"sceneItemId": number}
        raise No(_NOT_THERE, "No scene items were found by that name.")

    def _SetSceneItemTransform(
        self, sceneName: str, sceneItemId: int, sceneItemTransform: dict[str, Any]
    ) -> None:
        name, before = self.scenes[sceneName][sceneItemId]
        self.scenes[sceneName][sceneItemId] = (name, {**before, **sceneItemTransform})


@contextmanager
def obs_running(double: ObsDouble) -> Iterator[ObsDouble]:
    """Run it on a free port of loopback."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/", double.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        double.port = runner.addresses[0][1]
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield double
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
