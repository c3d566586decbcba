"""obs-websocket 5: a stream as a source in a scene of OBS Studio.

The protocol: https://github.com/obsproject/obs-websocket/blob/master/docs/generated/protocol.md
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from streamfx.errors import InputError, StreamFXError

TIMEOUT = 5.0  # seconds that each answer may take
_NOT_THERE = 600  # RequestStatus::ResourceNotFound
_WRONG_PASSWORD = 4009  # WebSocketCloseCode::AuthenticationFailed
_WHERE = "in OBS, Tools > WebSocket Server Settings > Show Connect Info has it"
_LISTENER = re.compile(r"(http|tcp)\+listen://(.*)")


@dataclass(frozen=True)
class ObsAddress:
    """Where OBS's WebSocket server is, and its password ("" for none)."""

    host: str = "127.0.0.1"
    port: int = 4455
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ObsSource:
    """A source as OBS has it.

    Attributes:
        name: of the source, in OBS.
        kind: OBS's name of the kind, without a version.
        settings: of that kind; what is left out stays as it is.
    """

    name: str
    kind: str
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Placed:
    """What was done: the scene, and whether the source is new in it."""

    scene: str
    added: bool


@dataclass(frozen=True)
class StreamFound:
    """A stream of a StreamFX server.

    Attributes:
        name: its id.
        page: the page that shows nothing but its picture; with the watch token, where one is
            needed.
        media: a URL of MPEG-TS that one of its sinks serves, None if none does.
    """

    name: str
    page: str = field(repr=False)
    media: str | None


def browser_source(name: str, page: str) -> ObsSource:
    """A page as OBS's browser shows it, its sound in OBS's mixer."""
    return ObsSource(name, "browser_source", {"url": page, "reroute_audio": True})


def media_source(name: str, url: str) -> ObsSource:
    """MPEG-TS over the network, with the least delay, opened again when it breaks off."""
    settings = {
        "is_local_file": False,
        "input": url,
        "input_format": "mpegts",
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "hw_decode": False,
        "close_when_inactive": False,
    }
    return ObsSource(name, "ffmpeg_source", settings)


async def find_stream(server: str, token: str | None, name: str | None) -> StreamFound:
    """Look a stream up on a server.

    Args:
        server: such as http://127.0.0.1:8080.
        token: the watch token, where the server has one.
        name: None = the only one.

    Raises:
        InputError: the server's address cannot be used, or it has no such stream.
        StreamFXError: no server answers, or it refuses.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"a server is like http://127.0.0.1:8080, not {server[:100]!r}")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.get(f"{base}/api/streams") as answer,
        ):
            if answer.status == 401:
                raise InputError(
                    "the server wants its watch token: give --token, or set "
                    "STREAMFX_SERVER__TOKENS__WATCH"
                )
            streams = (await answer.json())["streams"] if answer.status == 200 else None
    except aiohttp.ClientConnectorCertificateError as error:
        raise StreamFXError(
            f"the certificate of {base} is not trusted, by OBS's browser neither: use one that is, "
            "or http on this machine"
        ) from error
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise StreamFXError(
            f"no StreamFX server answers at {base}: start `streamfx serve`, or say where it is "
            "with --server"
        ) from error
    if streams is None:
        raise StreamFXError(
            f"what answers at {base} refuses with {answer.status}: is it a StreamFX server?"
        )
    found = _chosen({str(stream["id"]): stream for stream in streams}, name)
    page = f"{base}/watch/{quote(found['id'], safe='')}?clean=1"
    if token is not None:
        page += f"#watch={quote(token, safe='')}"
    return StreamFound(found["id"], page, _served(found.get("sinks", []), parts.hostname))


def _chosen(streams: Mapping[str, Any], name: str | None) -> Any:
    there = ", ".join(sorted(streams)) or "none"
    if name is None and len(streams) == 1:
        return next(iter(streams.values()))
    if name is None:
        raise InputError(f"say which stream; on the air: {there}")
    if name not in streams:
        raise InputError(f"there is no stream {name[:64]!r} on the air; there are: {there}")
    return streams[name]


def _served(sinks: list[Any], host: str) -> str | None:
    """What one of the sinks serves, as somebody else opens it."""
    for sink in sinks:
        match = _LISTENER.match(sink["sink"])
        if match is not None:
            parts = urlsplit(f"//{match[2]}")
            there = host if parts.hostname in (None, "0.0.0.0", "::") else parts.hostname
            there = f"[{there}]" if there and ":" in there else there
            path = (parts.path or "/live.ts") if match[1] == "http" else ""
            return f"{match[1]}://{there}:{parts.port}{path}"
    return None


async def place(address: ObsAddress, source: ObsSource, scene: str | None = None) -> Placed:
    """Put a source into a scene, or bring it up to date where OBS has it already.

    A new one fills the scene, its shape kept.

    Args:
        scene: None = the one that is on the air.

    Raises:
        InputError: OBS has no such scene or kind, or another kind has the name.
        StreamFXError: OBS does not answer, or refuses.
    """
    async with _connected(address) as obs:
        scene = await obs.scene(scene)
        kinds = await obs.call("GetInputKindList", unversioned=True)
        if source.kind not in kinds["inputKinds"]:
            raise InputError(f"this OBS has no {source.kind}: install its plugins, or use --media")
        size = await obs.call("GetVideoSettings")
        settings = dict(source.settings)
        if source.kind == "browser_source":  # it is drawn at the size that it is told
            settings |= {"width": size["baseWidth"], "height": size["baseHeight"]}
        item, added = await obs.put(scene, source, settings)
        if added:
            bounds = {
                "positionX": 0.0,
                "positionY": 0.0,
                "boundsType": "OBS_BOUNDS_SCALE_INNER",
                "boundsWidth": float(size["baseWidth"]),
                "boundsHeight": float(size["baseHeight"]),
            }
            await obs.call(
                "SetSceneItemTransform",
                sceneName=scene,
                sceneItemId=item,
                sceneItemTransform=bounds,
            )
    return Placed(scene, added)


class _Refused(StreamFXError):
    """OBS refuses a request, with a RequestStatus code."""

    def __init__(self, kind: str, code: int, comment: str | None) -> None:
        super().__init__(f"OBS refuses {kind}: {comment or f'code {code}'}")
        self.code = code


class _Obs:
    """A connection that is identified."""

    def __init__(self, client: Any, request: Any) -> None:
        self._client = client
        self._request = request

    async def call(self, kind: str, **data: object) -> dict[str, Any]:
        """The data of an answer.

        Raises:
            _Refused: OBS says no.
        """
        answer = await self._client.call(self._request(kind, data or None), timeout=TIMEOUT)
        if not answer.ok():
            raise _Refused(kind, answer.requestStatus.code, answer.requestStatus.comment)
        return answer.responseData or {}

    async def scene(self, wanted: str | None) -> str:
        """The name of the scene; InputError where there is none of the wanted name."""
        if wanted is None:
            return str((await self.call("GetCurrentProgramScene"))["currentProgramSceneName"])
        names = [scene["sceneName"] for scene in (await self.call("GetSceneList"))["scenes"]]
        if wanted not in names:
            raise InputError(f"OBS has no scene {wanted!r}; it has {', '.join(names)}")
        return wanted

    async def put(
        self, scene: str, source: ObsSource, settings: dict[str, object]
    ) -> tuple[int, bool]:
        """The source's item in the scene, and whether it is new there."""
        name = source.name
        inputs = (await self.call("GetInputList"))["inputs"]
        known = next((each for each in inputs if each["inputName"] == name), None)
        if known is None:
            made = await self.call(
                "CreateInput",
                sceneName=scene,
                inputName=name,
                inputKind=source.kind,
                inputSettings=settings,
                sceneItemEnabled=True,
            )
            return made["sceneItemId"], True
        if known["unversionedInputKind"] != source.kind:
            raise InputError(
                f"OBS has a source {name!r} of another kind: take another name with --name"
            )
        await self.call("SetInputSettings", inputName=name, inputSettings=settings, overlay=True)
        try:
            item = await self.call("GetSceneItemId", sceneName=scene, sourceName=name)
        except _Refused as error:
            if error.code != _NOT_THERE:
                raise
        else:
            return item["sceneItemId"], False
        made = await self.call(
            "CreateSceneItem", sceneName=scene, sourceName=name, sceneItemEnabled=True
        )
        return made["sceneItemId"], True


@asynccontextmanager
async def _connected(address: ObsAddress) -> AsyncIterator[_Obs]:
    library = _library()
    problem: Any = import_module("websockets.exceptions").WebSocketException
    host = f"[{address.host}]" if ":" in address.host else address.host
    parameters = library.IdentificationParameters(eventSubscriptions=0)
    client = library.WebSocketClient(f"ws://{host}:{address.port}", address.password, parameters)
    try:
        async with asyncio.timeout(TIMEOUT):
            await client.connect()
    except (OSError, TimeoutError) as error:
        raise StreamFXError(
            f"no OBS answers at {address}: start OBS 28 or newer, and enable its server under "
            "Tools > WebSocket Server Settings"
        ) from error
    except problem as error:
        raise StreamFXError(f"what answers at {address} is no obs-websocket 5") from error
    try:
        await _identify(client, address)
        yield _Obs(client, library.Request)
    except (library.MessageTimeout, problem) as error:
        raise StreamFXError(f"OBS at {address} answers no more") from error
    finally:
        await client.disconnect()


async def _identify(client: Any, address: ObsAddress) -> None:
    waiting = asyncio.ensure_future(client.wait_until_identified(TIMEOUT))
    try:
        # The library waits for an answer even where OBS has closed the connection.
        await asyncio.wait(
            {waiting, client.recv_task}, timeout=TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiting.cancel()
    if client.is_identified():
        return
    if client.ws.close_code == _WRONG_PASSWORD:
        said = "is wrong" if address.password else "is missing"
        raise InputError(
            f"the password of OBS's WebSocket server {said}: give --password or set "
            f"OBS_WEBSOCKET_PASSWORD; {_WHERE}"
        )
    raise StreamFXError(f"what answers at {address} is no obs-websocket 5")


def _library() -> Any:
    try:
        return import_module("simpleobsws")
    except ImportError as error:
        raise InputError("this needs the extra: pip install 'streamfx[obs]'") from error
