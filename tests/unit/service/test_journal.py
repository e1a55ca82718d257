"""What the service writes to the journal."""

import base64
import io
import json
import logging
import re
from pathlib import Path

import pytest

from fleetmint.service.app import create_app
from fleetmint.service.journal import FORMATTERS, JsonLine, OneLine, event
from tests.support.gateway_site import environ, make_csr, new_key

PAGE = Path(__file__).parents[3] / "docs/monitoring.md"


def written(*arguments, formatter=OneLine, **options):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    log = logging.Logger("service")
    log.addHandler(handler)
    log.error(*arguments, **options)
    return stream.getvalue()


def test_an_event_is_one_line_whatever_a_stranger_put_into_it():
    said = written("document from %s refused: %s", "192.0.2.1", "no\nINFO enrolled lamp-000001\x1b[2J\u202e\ud83d")
    assert said == r"ERROR document from 192.0.2.1 refused: no\nINFO enrolled lamp-000001\x1b[2J\u202e\ud83d" + "\n"


def test_no_line_of_a_traceback_looks_like_an_event():
    try:
        raise KeyError("x\nINFO enrolled lamp-000001") from ValueError("y\nINFO enrolled lamp-000002\r")
    except KeyError as error:
        first, *rest = written("a mistake", exc_info=error).splitlines()
    assert first == "ERROR a mistake"
    assert "INFO enrolled lamp-000002" in "".join(rest)
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_as_json_an_event_is_an_object_on_one_line_of_ascii_whatever_a_stranger_put_into_it():
    nasty = 'no"}\nINFO enrolled lamp-000001\x1b[2J\u202e\ud83d\x7f\u2028'
    line = written("refused: %s", nasty, formatter=JsonLine, extra=event("grant_refused", reason=nasty))
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line.endswith("\n")
    assert json.loads(line) == {
        "level": "error",
        "event": "grant_refused",
        "reason": nasty,
        "message": f"refused: {nasty}",
    }


def test_as_json_a_traceback_is_a_field():
    try:
        raise KeyError("x\n{}")
    except KeyError as error:
        found = json.loads(written("a mistake", formatter=JsonLine, exc_info=error))
    assert found["traceback"].startswith("Traceback")
    assert (found["event"], found["message"]) == ("other", "a mistake")


def test_a_field_cannot_pass_for_the_level_or_the_event():
    said = event("enrolled", device="lamp-000001") | {"fields": {"event": "x", "level": "y", "message": "z"}}
    assert json.loads(written("here", formatter=JsonLine, extra=said)) == {
        "level": "error",
        "event": "enrolled",
        "message": "here",
    }


@pytest.fixture
def journal():
    """What the service writes while a test runs, in all formats."""
    root, streams = logging.getLogger(), {}
    handlers = []
    for name, formatter in FORMATTERS.items():
        streams[name] = io.StringIO()
        handlers.append(logging.StreamHandler(streams[name]))
        handlers[-1].setFormatter(formatter())
        root.addHandler(handlers[-1])
    level = root.level
    root.setLevel(logging.DEBUG)
    yield streams
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def post(client, path, body, **more):
    return client.post(path, environ_overrides=environ("devices") | more, **body)


def test_an_issuance_says_who_got_what_and_how_long_it_took(client, site, now, journal):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    csr = base64.b64encode(make_csr(new_key())).decode()
    answer = post(client, "/v1/enrol", {"json": {"device": "lamp-000001", "token": token, "csr": csr}})
    (line,) = [json.loads(line) for line in journal["json"].getvalue().splitlines()]
    assert 0 < line.pop("seconds") < 60
    assert line == {
        "level": "info",
        "event": "enrolled",
        "device": "lamp-000001",
        "serial": answer.json["serial"],
        "source": "192.0.2.1",
        "message": f"enrolled lamp-000001 from 192.0.2.1 with serial {answer.json['serial']}",
    }


def test_no_secret_that_a_request_has_is_in_any_line(site, now, journal, monkeypatch):
    app = create_app(site.config)
    client = app.test_client()
    token = site.register(now, "lamp-000001")["lamp-000001"]
    good = base64.b64encode(make_csr(new_key())).decode()
    canary = "canary" + "0" * 26
    basic = base64.b64encode(f"lamp-000001:{canary}".encode()).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{canary}\n-----END CERTIFICATE REQUEST-----"
    bodies = [
        {"json": {"device": "lamp-000001", "token": token, "csr": good}},
        {"json": {"device": "lamp-000001", "token": canary, "csr": good}},
        {"json": {"device": "lamp-000001", "token": token, "csr": pem}},
        {"json": {"device": canary + "\n!", "token": token, "csr": good}},
        {"json": {"device": "lamp-000001", "token": [canary], "csr": {"key": canary}}},
        {"json": {"certificate": canary, "csr": canary}},
        {"data": f'{{"token": "{canary}"'},
        {"data": canary * 3000},
    ]
    routes = {rule.rule.replace("<device>", "lamp-000001") for rule in app.url_map.iter_rules()}
    headers = {"Authorization": f"Basic {basic}", "Cookie": canary, "X-Token": canary}
    asked = 0
    for broken in (False, True):
        if broken:
            monkeypatch.setattr("fleetmint.service.devices.enrol", lambda *_, **__: 1 / 0)
            monkeypatch.setattr("fleetmint.service.est.enrol", lambda *_, **__: 1 / 0)
        for route in sorted(routes):
            for body in bodies:
                for listener in ("devices", "operators"):
                    where = environ(listener) | {"HTTP_AUTHORIZATION": headers["Authorization"]}
                    client.post(route, headers=headers, environ_overrides=where, **body)
                    client.get(f"{route}?token={canary}", headers=headers, environ_overrides=where)
                    asked += 2
    app.extensions["fleetmint"].close()
    said = "".join(stream.getvalue() for stream in journal.values())
    assert asked > 500
    assert "enrolled lamp-000001" in said
    assert "ZeroDivisionError" in said
    for secret in (canary, token, good, good[:40], basic, canary[:16]):
        assert secret not in said


def test_the_page_lists_every_event():
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "src/fleetmint/service").glob("*.py"))
    named = set(re.findall(r'event\("(\w+)"', source)) | set(
        re.findall(r'(?:_answer|issued_der)\(\w+, "(\w+)"\)', source)
    )
    rows = [line.split(" | ")[0] for line in PAGE.read_text().partition("## The journal")[2].splitlines()]
    told = {name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row)} - {"event"}
    assert told == named | {"other"}
