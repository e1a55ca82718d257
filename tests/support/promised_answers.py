"""Holding each answer that a test of the service gets to what the OpenAPI document says of its route."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, request

from fleetmint.service.api.document import document
from fleetmint.service.api.refusals import REFUSALS

try:
    from jsonschema import Draft202012Validator
except ImportError:  # with the libraries of Debian (test_debian.py), where shapes are as with the newest
    Draft202012Validator = None


def closed() -> dict[str, Any]:
    """Return the document with shapes that have no other members than it says: clients may be given more, tests not."""
    found: dict[str, Any] = _closed(document())
    return found


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _closed(each) for name, each in value.items()}
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def path_of(rule: str) -> str:
    """Return the path of a rule of the application as OpenAPI writes it."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


@contextmanager
def all_promised(app: Flask) -> Iterator[None]:
    """Raise AssertionError at the end when `app` gave an answer that its document does not have."""
    said = closed()
    broken: list[str] = []

    @app.after_request
    def check(response: Response) -> Response:
        if request.method in ("GET", "POST"):
            broken.extend(f"{request.method} {request.path}: {each}" for each in _problems(said, response))
        return response

    yield
    assert not broken, "\n".join(broken)


def _problems(said: dict[str, Any], response: Response) -> Iterator[str]:
    if request.url_rule is None:
        said_to_be = (response.get_json(silent=True) or {}).get("error")
        refusal = REFUSALS.get(said_to_be or {404: "not_found", 405: "method_not_allowed"}[response.status_code])
        if refusal is None or refusal.status != response.status_code:
            yield f"{response.status_code} {response.get_data(as_text=True)} is no refusal of service/api/refusals.py"
        return
    path = path_of(request.url_rule.rule)
    operation = said["paths"].get(path, {}).get(request.method.lower())
    if operation is None:
        yield f"{path} has no row in service/api/operations.py"
        return
    answer = operation["responses"].get(str(response.status_code))
    if answer is None:
        text = response.get_data(as_text=True)[:200]
        yield f"{response.status_code} {text} is not among {list(operation['responses'])}"
        return
    content = answer.get("content", {})
    if content and response.mimetype not in content:
        yield f"{response.mimetype} is not among {list(content)}"
    schema = content.get("application/json", {}).get("schema")
    if schema is not None and response.is_json and Draft202012Validator is not None:
        whole = {**schema, "components": said["components"]}
        for error in Draft202012Validator(whole).iter_errors(response.json):
            yield f"{response.status_code}: {error.json_path}: {error.message}"
