"""Who may do what: names, origins, tokens, TLS, and what answers carry."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from servers import SECONDS, Answer, Running, config_of, running
from streamfx.errors import InputError
from streamfx.server.api import OPERATIONS
from streamfx.server.openapi import Operation
from streamfx.server.run import Server
from streamfx.server.tls import self_signed

TOKENS = {"publish": "publish-me", "watch": "watch-me-", "control": "control-me"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


@pytest.fixture(scope="module")
def open_server(pack: Path) -> Iterator[Running]:
    """On loopback, without tokens."""
    config = config_of(
        pack, allowed_hosts=["Studio.example"], cors_origins=["https://friend.example"]
    )
    with running(config) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(pack: Path) -> Iterator[Running]:
    """With all three tokens and a TURN server."""
    turn = {"urls": ["turn:turn.example:3478"], "username": "me", "credential": "turn-secret"}
    with running(config_of(pack, tokens=TOKENS, ice_servers=[turn])) as found:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "studio.example.evil.example",
        "127.0.0.1@evil.example",
        "[::1",
        "",
    ],
)
def test_a_foreign_name_is_refused(open_server: Running, host: str) -> None:
    for path in ("/", "/api/info", "/metrics", "/healthz", "/studio/main.js"):
        answer = open_server.request("GET", path, headers={"Host": host})
        assert (answer.status, "allowed_hosts" in answer.error) == (403, True)
    whip = open_server.request("POST", "/whip/a", data=b"", headers={"Host": host})
    assert whip.status == 403


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1", "192.0.2.7:8080", "[::1]:80", "studio.example",
     "STUDIO.example:8080"],
)  # fmt: skip
def test_our_names_and_addresses_are_not(open_server: Running, host: str) -> None:
    assert open_server.request("GET", "/healthz", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "file://",
        "https://friend.example",
        "http://127.0.0.1:{port}.evil.example",
        "http://[",
        "",
    ],
)
def test_pages_of_other_origins_change_nothing(open_server: Running, origin: str) -> None:
    headers = {"Origin": origin.format(port=open_server.port), "Content-Type": "text/plain"}
    for method, path in (
        ("POST", "/api/streams"),
        ("PATCH", "/api/streams/show"),
        ("DELETE", "/api/streams/show"),
        ("POST", "/api/styles"),
        ("DELETE", "/api/styles/show"),
    ):
        answer = open_server.request(method, path, data=b"{}", headers=headers)
        assert (answer.status, "other origins" in answer.error) == (403, True)
        assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = open_server.request("OPTIONS", "/api/streams", headers={**headers, **PREFLIGHT})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert open_server.hub.entries() == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_our_own_pages_may(open_server: Running, scheme: str) -> None:
    # Behind a proxy that ends TLS the scheme of the page is not ours.
    headers = {"Origin": f"{scheme}://studio.example:99", "Host": "studio.example:99"}
    body = {"id": "show", "source": "demo:"}
    assert open_server.request("POST", "/api/streams", body=body, headers=headers).status == 201
    answer = open_server.request("DELETE", "/api/streams/show", headers=headers)
    assert answer.status == 204


def whip(server: Running, origin: str, method: str = "POST", path: str = "/whip/a") -> Answer:
    headers = {"Origin": origin, "Content-Type": "application/sdp"}
    if method == "OPTIONS":
        headers |= PREFLIGHT
    return server.request(method, path, data=b"v=0", headers=headers)


@pytest.mark.parametrize("path", ["/whip/a", "/whep/a", "/whip/session/x", "/whep/session/x"])
def test_without_tokens_foreign_pages_neither_publish_nor_watch(
    open_server: Running, path: str
) -> None:
    refused = whip(open_server, "http://evil.example", path=path)
    assert (refused.status, refused.headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
    preflight = whip(open_server, "http://evil.example", "OPTIONS", path)
    assert preflight.status == 204
    assert "Access-Control-Allow-Origin" not in preflight.headers
    friend = whip(open_server, "https://friend.example", "OPTIONS", path)
    assert friend.headers["Access-Control-Allow-Origin"] == "https://friend.example"


@pytest.mark.parametrize("path", ["/whip/a", "/whep/a", "/whip/session/x", "/whep/session/x"])
def test_with_tokens_any_page_may_that_has_one(guarded: Running, path: str) -> None:
    preflight = whip(guarded, "http://other.example", "OPTIONS", path)
    assert preflight.status == 204
    allowed = {
        name: {part.strip() for part in preflight.headers[f"Access-Control-{name}"].split(",")}
        for name in ("Allow-Methods", "Allow-Headers", "Expose-Headers")
    }
    assert allowed["Allow-Methods"] >= {"POST", "PATCH", "DELETE"}
    assert allowed["Allow-Headers"] >= {"Authorization", "Content-Type", "If-Match"}
    assert allowed["Expose-Headers"] >= {"ETag", "Link", "Location"}
    refused = whip(guarded, "http://other.example", path=path.replace("session/x", "a"))
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
    # Without these headers on errors a page could not tell what went wrong.
    assert refused.headers["Access-Control-Allow-Origin"] == "http://other.example"
    assert refused.headers["Vary"] == "Origin"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
def test_every_operation_asks_for_its_token(guarded: Running, operation: Operation) -> None:
    path = operation.path.replace("{id}", "none").replace("{name}", "none").replace("{sink}", "1")
    if path == "/api/events":
        path += "?stream=No"  # 400 once the token is right: it would not end by itself
    for name, token in TOKENS.items():
        answer = guarded.request(operation.method, path, token=token)
        passes = not operation.scopes or name in operation.scopes
        assert (answer.status != 401) == passes
    for headers in (
        {},
        {"Authorization": TOKENS["control"]},
        {"Authorization": f"Basic {TOKENS['control']}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong-token"},
        {"Authorization": f"Bearer {TOKENS['control']}x"},
        {"Authorization": "Bearer \xe9\xe9\xe9"},
    ):
        answer = guarded.request(operation.method, path, headers=headers)
        if operation.scopes:
            assert (answer.status, "token" in answer.error) == (401, True)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        else:
            assert answer.status == 200


def test_headers_of_any_bytes_are_refused_in_words(open_server: Running) -> None:
    for path in ("/api/streams", "/whip/a"):
        for name in ("Host", "Origin", "Content-Type", "Authorization"):
            answer = open_server.request("POST", path, data=b"{}", headers={name: "\xe9/\xff"})
            assert (answer.status, answer.body != b"") in [(403, True), (415, True)]


def test_what_changes_something_is_never_open() -> None:
    for operation in OPERATIONS:
        if operation.method != "GET":
            assert operation.scopes == ("control",)


def test_a_token_in_the_query_does_not_count(guarded: Running) -> None:
    assert guarded.request("GET", f"/api/streams?token={TOKENS['control']}").status == 401


def test_turn_passwords_are_for_those_with_a_token(guarded: Running) -> None:
    stranger = guarded.request("GET", "/api/info")
    assert b"turn-secret" not in stranger.body
    assert stranger.json["tokens"] == dict.fromkeys(TOKENS, True)
    for token in TOKENS.values():
        (server,) = guarded.request("GET", "/api/info", token=token).json["ice_servers"]
        assert server == {
            "urls": ["turn:turn.example:3478"], "username": "me", "credential": "turn-secret",
        }  # fmt: skip


def test_the_studio_and_its_files(open_server: Running) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/watch/show", "text/html"),
        ("/watch/show?clean=1", "text/html"),
        ("/studio/main.js", "text/javascript"),
        ("/studio/base.css", "text/css"),
        ("/studio/icon.svg", "image/svg+xml"),
    ):
        answer = open_server.request("GET", path)
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = open_server.request("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/studio/../errors.py", "/studio/..%2ferrors.py", "/studio/%2e%2e/errors.py", "/studio/.",
     "/studio/..", "/studio//etc/passwd", "/studio/none.js", "/watch/No", "/studio/a%00.js"],
)  # fmt: skip
def test_files_beside_the_studio_s_are_not_served(open_server: Running, path: str) -> None:
    answer = open_server.request("GET", path)
    assert (answer.status, answer.error != "") == (404, True)


def test_answers_are_not_kept_and_not_sniffed(open_server: Running) -> None:
    answer = open_server.request("GET", "/api/streams")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "aiohttp" not in answer.headers["Server"]


def test_tls_with_a_certificate_made_at_the_start(pack: Path) -> None:
    with running(config_of(pack, tls={"self_signed": True})) as server:
        assert server.server.url == f"https://127.0.0.1:{server.port}"
        pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=SECONDS)
        found = x509.load_pem_x509_certificate(pem.encode())
        assert found.fingerprint(hashes.SHA256()).hex(":").upper() == server.server.fingerprint
        # A client that trusts it takes it for the names that the server has on this machine.
        context = ssl.create_default_context(cadata=pem)
        for name in ("127.0.0.1", "localhost"):
            client = http.client.HTTPSConnection(
                name, server.port, timeout=SECONDS, context=context
            )
            client.request("GET", "/healthz")
            assert client.getresponse().status == 200
            client.close()


def pem_files(folder: Path) -> tuple[Path, Path]:
    certificate, key = self_signed(["127.0.0.1"])
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_tls_from_files(pack: Path, tmp_path: Path) -> None:
    cert, key = pem_files(tmp_path)
    with running(config_of(pack, tls={"cert": str(cert), "key": str(key)})) as server:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=SECONDS)
        assert pem == cert.read_text()
        assert server.server.fingerprint is None


def test_tls_files_that_cannot_be_used(pack: Path, tmp_path: Path) -> None:
    cert, key = pem_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = pem_files(tmp_path / "other")
    none = tmp_path / "none.pem"
    for files, said in (
        ((cert, none), "no TLS file"),
        ((cert, other), "are not a PEM certificate and its plain key"),
        ((key, key), "are not a PEM certificate"),
    ):
        with pytest.raises(InputError, match=said):
            Server(config_of(pack, tls=dict(zip(("cert", "key"), map(str, files), strict=True))))
