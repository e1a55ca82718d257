"""The OpenAPI document, made of the rows beside this file, and its route."""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Response

import fleetmint
from fleetmint.service.answers import json_answer, operator
from fleetmint.service.api.operations import (
    ANYBODY,
    DEVICE,
    EITHER,
    EVERYBODY,
    JSON,
    NOBODY,
    OPERATIONS,
    OPERATOR,
    STATION,
    Operation,
)
from fleetmint.service.api.refusals import REFUSALS
from fleetmint.service.api.schemas import DEVICE_ID, SCHEMAS, TEXT, of
from fleetmint.service.queries import read_query
from fleetmint.service.resources import Resources
from fleetmint.x509.listeners import DEVICES, OPERATORS

# Where they are asked for; what is at both has the one that the document stands at.
LISTENER_OF = {
    NOBODY: DEVICES,
    DEVICE: DEVICES,
    EITHER: DEVICES,
    OPERATOR: OPERATORS,
    STATION: OPERATORS,
    ANYBODY: OPERATORS,
    EVERYBODY: OPERATORS,
}
FOR = {
    NOBODY: "devices, without a certificate",
    DEVICE: "a device with its certificate",
    EITHER: "a device with its certificate, or with id and token",
    OPERATOR: "any operator",
    STATION: "stations",
    ANYBODY: "a device or an operator",
    EVERYBODY: "everybody, at every listener",
}
_PATH_PARAMETERS = {"device": DEVICE_ID, "name": TEXT}
_RETRY = (HTTPStatus.ACCEPTED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_ABOUT = """\
The signing service of a gateway. Devices and operators have a listener each: a route of one is a 404 at the other.
Whoever asks shows a client certificate; only stations, the operators whose names the gateway knows, may write.

A refusal is an object with `error`, a code for programs, and mostly `message`, a sentence for people. The web server
in front has three more: 401 as HTML for a certificate that it refused, 431 `headers_too_large`, and 503 `unavailable`
while the service restarts or when too much is asked. Times are UTC."""


def add_document(app: Flask, resources: Resources) -> None:
    """Add the document's route to `app`."""

    @app.get("/v1/openapi.json")
    def openapi() -> Response:
        operator(resources)
        read_query()
        return json_answer(200, **document())


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in OPERATIONS:
        paths[each.path][each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fleetmint gateway", "version": fleetmint.__version__, "description": _ABOUT},
        "servers": [
            {
                "url": "https://{gateway}:{port}",
                "description": "The operators' listener; routes of devices are at the devices' one, mostly port 443.",
                "variables": {"gateway": {"default": "gateway.local"}, "port": {"default": "8443"}},
            }
        ],
        "tags": [
            {"name": DEVICES, "description": "At the devices' listener."},
            {"name": OPERATORS, "description": "At the operators' listener."},
        ],
        "paths": dict(paths),
        "components": {
            "schemas": {name: dict(schema) for name, schema in SCHEMAS.items()},
            "securitySchemes": {
                "certificate": {"type": "mutualTLS", "description": "A certificate of this site."},
                "token": {"type": "http", "scheme": "basic", "description": "Device id and one-time token."},
            },
        },
    }


def _operation(row: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(row),
        "summary": row.summary,
        "description": f"For {FOR[row.who]}.",
        "tags": [DEVICES, OPERATORS] if row.who in (ANYBODY, EVERYBODY) else [LISTENER_OF[row.who]],
        "security": _SECURITY.get(row.who, [{"certificate": []}]),
        "responses": _responses(row),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": dict(_PATH_PARAMETERS[name])}
        for name in re.findall(r"{(\w+)}", row.path)
    ]
    parameters += [
        {"name": each.name, "in": "query", "description": each.text, "schema": dict(each.schema)} for each in row.query
    ]
    if parameters:
        found["parameters"] = parameters
    if row.method == "POST":
        # without a shape where nobody reads it
        schema = {"type": "string"} if row.body_type != JSON else of(row.body) if row.body else {}
        found["requestBody"] = {"required": True, "content": {row.body_type: {"schema": schema}}}
    return found


_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    NOBODY: [],
    EVERYBODY: [],
    EITHER: [{"certificate": []}, {"token": []}],
}


def _identifier(row: Operation) -> str:
    path = row.path.removeprefix("/v1").removeprefix("/.well-known").replace("{", "by ")
    words = re.findall(r"[a-z]+", f"{row.method.lower()} {path}")
    return "_".join(words) if len(words) > 1 else f"{words[0]}_page"


def _responses(row: Operation) -> dict[str, Any]:
    schema = of(row.answer) if row.answer else {}
    found: dict[str, Any] = {}
    if row.answer_type:
        found["200"] = {"description": "Done.", "content": {row.answer_type: {"schema": schema}}}
    found |= {str(status): {"description": text} for status, text in row.others}
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in row.codes:
        by_status[REFUSALS[code].status].append(code)
    for status, codes in sorted(by_status.items()):
        found[str(status)] = _refused(status, codes, row.refusal_type)
    return found


def _refused(status: int, codes: Iterable[str], media_type: str) -> dict[str, Any]:
    codes = list(codes)
    schema: dict[str, Any] = {}
    if media_type == JSON:
        properties = {"error": {"enum": codes}, "message": {"type": "string"}}
        schema = {"type": "object", "required": ["error"], "properties": properties}
    answer: dict[str, Any] = {
        "description": "\n".join(f"- `{code}`: {REFUSALS[code].text}." for code in codes),
        "content": {media_type: {"schema": schema}},
    }
    if status in _RETRY:
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
    return answer
