"""The OpenAPI 3.1 document, made from the same table as the routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streamfx.server.auth import Scope, require
from streamfx.server.config import STREAM_ID
from streamfx.server.models import Error

JSON = "application/json"
# What stands for each name in braces of a path.
PATTERNS = {"id": STREAM_ID, "name": "[a-z0-9-]{1,64}", "sink": "[1-9][0-9]{0,5}"}

_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method, path: `GET`, `/api/streams/{id}`; names in braces are those of `PATTERNS`.
        handler: what answers.
        summary: one line for the document.
        status: of success.
        answer: the model of the JSON body, the media type of another body, None for no body.
        body: the model of a JSON request, or the media types of another one.
        query: the model of the query.
        errors: statuses that clients must expect beside those that follow from the rest.
        scopes: tokens that allow it, see `streamfx.server.auth.require`; none = open.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    status: int = 200
    answer: type[BaseModel] | str | None = None
    body: type[BaseModel] | tuple[str, ...] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    scopes: tuple[Scope, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names in the path."""
        return re.findall(r"{(\w+)}", self.path)

    def route(self) -> web.RouteDef:
        """The route, which asks for the token first."""
        path = re.sub(r"{(\w+)}", lambda found: f"{{{found[1]}:{PATTERNS[found[1]]}}}", self.path)

        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.scopes:
                require(request, *self.scopes)
            return await self.handler(request)

        return web.route(self.method, path, guarded)


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document for a table of operations; `version` is the program's."""
    models = sorted(set(_models(operations)), key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "StreamFX",
            "version": version,
            "description": "Live streams, their styles and their figures.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(operations: Sequence[Operation]) -> Iterator[type[BaseModel]]:
    yield Error
    for operation in operations:
        for part in (operation.answer, operation.body, operation.query):
            if isinstance(part, type):
                yield part


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": dict(_responses(operation)),
    }
    if operation.scopes:
        described["security"] = [{"token": []}, {}]
        described["description"] = (
            f"Needs the token for {' or '.join(operation.scopes)}, where the server has one."
        )
    if isinstance(operation.body, tuple):
        content = {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in operation.body
        }
        described["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in operation.names:
        schema = {"type": "string", "pattern": f"^{PATTERNS[name]}$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        query = operation.query.model_json_schema(ref_template=_REF)
        for name, described in query["properties"].items():
            required = name in query.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": described}


def _responses(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if isinstance(operation.answer, str):
        success["content"] = {operation.answer: {}}
    elif operation.answer is not None:
        success["content"] = _json(operation.answer)
    if operation.headers:
        success["headers"] = {
            name: {"description": said, "schema": {"type": "string"}}
            for name, said in operation.headers.items()
        }
    yield str(operation.status), success
    errors = {*operation.errors, 403}  # a foreign Host or Origin
    errors |= {401} if operation.scopes else set()
    errors |= {404} if operation.names else set()
    errors |= {400, 408, 413, 415} if operation.body else set()
    errors |= {400} if operation.query else set()
    for status in sorted(errors):
        yield str(status), {"description": HTTPStatus(status).phrase, "content": _json(Error)}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": _REF.format(model=model.__name__)}}}
