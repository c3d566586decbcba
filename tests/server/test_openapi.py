"""The document tells the truth, and nothing that it allows, or forbids, ends in a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from servers import SECONDS, Running, config_of, running
from streamfx.server.api import OPERATIONS, VERSION
from streamfx.server.openapi import Operation, document

ENDLESS = "/api/events"  # its answer does not end by itself
THERE = {"id": "show", "name": "great-wave"}  # what a path may name that is there
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def server(pack: Path) -> Iterator[Running]:
    config = config_of(pack, max_streams=2, limits={"json_bytes": 4096, "picture_bytes": 10_000})
    with running(config) as found:
        yield found


def test_the_document_is_served_and_has_every_operation(server: Running) -> None:
    served = server.request("GET", "/api/openapi.json").json
    assert served == document(OPERATIONS, VERSION)
    described = {
        (method.upper(), path) for path, item in served["paths"].items() for method in item
    }
    routed = {
        (route.method, route.resource.canonical)
        for route in server.server.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    signalling = {(m, p) for m, p in routed if p.startswith(("/whip/", "/whep/"))}
    pages = {("GET", "/"), ("GET", "/watch/{id}"), ("GET", "/studio/{name}")}
    assert routed - signalling - pages == described


def cases() -> Iterator[tuple[Operation, GenerationMode, dict[str, str]]]:
    """Every operation, with what the document allows and what it forbids."""
    for operation in OPERATIONS:
        if operation.path == ENDLESS:
            continue
        there = {name: value for name, value in THERE.items() if name in operation.names}
        for known in [{}, there] if there else [{}]:
            yield operation, GenerationMode.POSITIVE, known
        if operation.names or operation.body or operation.query:
            yield operation, GenerationMode.NEGATIVE, {}


def title(value: object) -> str:
    if isinstance(value, Operation):
        return f"{value.method} {value.path}"
    return "known" if value else "any" if value == {} else str(value)


@pytest.mark.parametrize(("operation", "mode", "known"), list(cases()), ids=title)
def test_nothing_ends_in_a_500_and_every_answer_is_described(
    server: Running, operation: Operation, mode: GenerationMode, known: dict[str, str]
) -> None:
    body = {"id": THERE["id"], "source": "demo:"}
    assert server.request("POST", "/api/streams", body=body).status in (201, 409)
    schema = schemathesis.openapi.from_dict(document(OPERATIONS, VERSION))
    tried = 0

    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=schema[operation.path][operation.method].as_strategy(
            mode, path_parameters=known or None
        )
    )
    def call(case: schemathesis.Case) -> None:
        nonlocal tried
        case.call_and_validate(
            base_url=f"http://127.0.0.1:{server.port}", checks=CHECKS, timeout=SECONDS
        )
        tried += 1

    call()
    assert tried
    assert server.request("GET", "/healthz").status == 200
