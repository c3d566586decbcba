"""WHIP over HTTP as RFC 9725 and its clients want it, with real peers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from rtc import (
    SDP,
    Pictures,
    Server,
    Tone,
    bearer,
    offer_of,
    peer_connection,
    publish,
    serving,
    until,
)
from sdps import OFFER_OBS, OFFER_VIEWER
from streamfx.server.hub import HUB
from streamfx.server.signalling import sessions

TOKENS = {"publish": "publish-it", "watch": "watch-it"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def call(
    server: Server, method: str, path: str, body: str | bytes | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.http.request(method, server.url + path, data=body, headers=sent) as got:
        return got.status, await got.text(), dict(got.headers)


def test_publishing(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            client = await publish(server, audio=Tone())
            assert client.location.startswith("/whip/session/")
            assert "?" not in client.location
            assert "live" not in client.location
            assert client.etag.startswith('"')
            assert client.answer.count("a=candidate:") >= 2
            assert " 127.0.0.1 " in client.answer
            stream = server.app[HUB].get("live")
            assert stream is not None
            await until(lambda: stream.stats().frames_in > 5, "frames")
            assert stream.stats().size_in == (160, 96)
            assert sessions(server.app) == {("publish", "connected"): 1}

            status, _, _ = await call(server, "DELETE", client.location)
            assert status == 200
            status, text, _ = await call(server, "DELETE", client.location)
            assert status == 404
            assert "session" in text
            assert stream.stats().state == "paused"
            await until(lambda: client.connection.connectionState == "closed", "being told")

    run(test())


@pytest.mark.parametrize("offer", [OFFER_OBS, OFFER_VIEWER.replace("recvonly", "sendonly")])
def test_an_offer_without_candidates_is_answered(tmp_path: Path, offer: str) -> None:
    async def test() -> None:
        async with serving(tmp_path, handshake_seconds=0.5) as server:
            status, answer, headers = await call(server, "POST", "/whip/live", offer, **SDP)
            assert status == 201, answer
            assert headers["Content-Type"] == "application/sdp"
            assert headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
            assert "x-google-start-bitrate=2500" in answer
            # Nobody connects, so it is given up.
            await until(lambda: not sessions(server.app), "the time-out")
            status, _, _ = await call(server, "DELETE", headers["Location"])
            assert status == 404

    run(test())


def test_the_handshake_needs_no_candidates_of_the_client(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            connection = peer_connection()
            connection.addTransceiver(Pictures(), "sendonly")
            offer = await offer_of(connection)
            bare = "".join(
                f"{line}\r\n" for line in offer.split("\r\n") if "a=candidate" not in line
            )
            assert "a=end-of-candidates" in bare
            status, answer, _ = await call(server, "POST", "/whip/live", bare, **SDP)
            assert status == 201
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await until(lambda: connection.connectionState == "connected", "connecting")
            await connection.close()

    run(test())


def test_candidates_come_by_patch(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            client = await publish(server)
            name = next(
                line.split(":")[1]
                for line in client.connection.localDescription.sdp.splitlines()
                if line.startswith("a=ice-ufrag")
            )
            body = (
                f"a=ice-ufrag:{name}\r\na=ice-pwd:whatever\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\n"
                "a=candidate:9 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
            )

            async def patch(text: str = body, **headers: str) -> int:
                status, _, _ = await call(
                    server, "PATCH", client.location, text, **(FRAGMENT | headers)
                )
                return status

            assert await patch(If_Match=client.etag) == 204
            assert await patch() == 428
            assert await patch(If_Match='"stale"') == 412
            assert await patch(body.replace(name, "another"), If_Match=client.etag) == 422
            assert await patch(body.replace(name, "another"), If_Match="*") == 422
            assert await patch("rubbish", If_Match=client.etag) == 400
            assert await patch(body.replace(" 1 127.0.0.1", " x 1"), If_Match=client.etag) == 400
            assert await patch(Content_Type="text/plain", If_Match=client.etag) == 415
            lines = "a=candidate:9 1 udp 1 127.0.0.1 9 typ host\r\n" * 70
            assert await patch(f"m=v\r\na=mid:0\r\n{lines}", If_Match=client.etag) == 400
            status, _, _ = await call(server, "PATCH", "/whip/session/nobody", body, **FRAGMENT)
            assert status == 404
            await client.connection.close()

    run(test())


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("POST", "/whip/live", OFFER_OBS, "text/plain", 415),
        ("POST", "/whip/live", "", "application/sdp", 400),
        ("POST", "/whip/live", "nonsense", "application/sdp", 400),
        ("POST", "/whip/live", OFFER_OBS.replace("a=mid:0", "a=x"), "application/sdp", 400),
        ("POST", "/whip/live", OFFER_OBS.replace("H264", "AV1"), "application/sdp", 406),
        ("POST", "/whip/live", OFFER_VIEWER, "application/sdp", 406),
        ("POST", "/whip/live", OFFER_OBS.replace("opus", "flac"), "application/sdp", 406),
        ("POST", "/whip/live", "v=0\r\n" + "a=x\r\n" * 60_000, "application/sdp", 413),
        ("POST", "/whip/No_Such_Name", OFFER_OBS, "application/sdp", 404),
        ("GET", "/whip/live", None, "", 405),
        ("HEAD", "/whip/live", None, "", 405),
        ("PUT", "/whip/live", OFFER_OBS, "application/sdp", 405),
        ("GET", "/whip/session/abc", None, "", 405),
        ("POST", "/whip/session/abc", OFFER_OBS, "application/sdp", 405),
        ("DELETE", "/whip/live", None, "", 405),
        ("DELETE", "/whip/session/abc", None, "", 404),
    ],
)
def test_what_is_refused(
    tmp_path: Path, method: str, path: str, body: str | None, kind: str, status: int
) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            headers = {"Content-Type": kind} if kind else {}
            got, text, answered = await call(server, method, path, body, **headers)
            assert got == status, text
            if method != "HEAD":
                assert answered["Content-Type"].startswith("text/plain")
                assert 0 < len(text) < 300
            if got == 405:
                assert "Allow" in answered
            assert server.app[HUB].get("live") is None
            assert not sessions(server.app)

    run(test())


def test_the_token_is_needed_for_everything_but_a_preflight(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, tokens=TOKENS) as server:
            for wrong in (
                {},
                bearer("wrong-token"),
                bearer(TOKENS["watch"]),
                {"Authorization": "x"},
            ):
                status, _, headers = await call(
                    server, "POST", "/whip/live", OFFER_OBS, **(SDP | wrong)
                )
                assert status == 401
                assert headers["WWW-Authenticate"].startswith("Bearer")
            client = await publish(server, token=TOKENS["publish"])
            for method in ("DELETE", "PATCH"):
                status, _, _ = await call(server, method, client.location, "", **FRAGMENT)
                assert status == 401
            preflight = {
                "Origin": "https://page.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            }
            for path in ("/whip/live", client.location):
                status, _, headers = await call(server, "OPTIONS", path, **preflight)
                assert status == 204
                assert headers["Access-Control-Allow-Origin"] == "https://page.example"
                for name in ("Authorization", "Content-Type", "If-Match"):
                    assert name in headers["Access-Control-Allow-Headers"]
            status, _, headers = await call(
                server, "POST", "/whip/live", OFFER_OBS, Origin="https://page.example", **SDP
            )
            for name in ("ETag", "Link", "Location"):
                assert name in headers["Access-Control-Expose-Headers"]
            status, _, headers = await call(server, "OPTIONS", "/whip/live")
            assert status == 204
            assert headers["Accept-Post"] == "application/sdp"
            status, _, _ = await call(
                server, "DELETE", client.location, **bearer(TOKENS["publish"])
            )
            assert status == 200
            await client.connection.close()

    run(test())


def test_ice_servers_are_linked(tmp_path: Path) -> None:
    servers = [
        {"urls": ["turn:127.0.0.1:9?transport=tcp"], "username": "u", "credential": "secret-one"}
    ]

    async def test() -> None:
        async with serving(tmp_path, ice_servers=servers, tokens=TOKENS) as server:
            headers = SDP | bearer(TOKENS["publish"])
            status, text, answered = await call(server, "POST", "/whip/live", OFFER_OBS, **headers)
            assert status == 201, text
            link = answered["Link"]
            assert link.startswith('<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"')
            assert 'credential="secret-one"' in link
            status, _, answered = await call(server, "OPTIONS", "/whip/live")
            assert "Link" not in answered

    run(test())


def test_no_public_server_is_asked_by_default(tmp_path: Path) -> None:
    from streamfx.server.peers import Publisher

    async def test() -> None:
        peer = Publisher("127.0.0.1")
        assert peer._connection._RTCPeerConnection__configuration.iceServers == []
        await peer.close()

    run(test())


def test_a_taken_stream_and_a_full_server(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, max_streams=1) as server:
            client = await publish(server)
            status, text, _ = await call(server, "POST", "/whip/live", OFFER_OBS, **SDP)
            assert status == 409
            assert "publisher" in text
            status, _, headers = await call(server, "POST", "/whip/other", OFFER_OBS, **SDP)
            assert status == 503
            assert int(headers["Retry-After"]) > 0
            assert sessions(server.app) == {("publish", "connected"): 1} or sessions(
                server.app
            ) == {("publish", "connecting"): 1}
            await client.connection.close()

    run(test())
