"""`fleetmint listen` and `fleetmint devices` when devices say what no person should be made to read."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetmint.bench.readings import Reading, text_of, values_of
from fleetmint.cli.controller import listen
from fleetmint.ledger.factory import mark_registered
from fleetmint.ledger.revocation import revoke
from fleetmint.printable import json_line
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_double import server_context, serving
from tests.support.gateway_site import certificate_entry, new_key, registration
from tests.support.mqtt_broker import Broker

SURROGATE = rb'{"a":"\ud83d"}'
FORGED = rb'{"a":"1\n02:33:50  lamp-000001  temperature 99  uptime 5"}'
NASTY = {
    "lone surrogate": SURROGATE,
    "forged line": FORGED,
    "escape sequence": rb'{"\u001b]0;owned\u0007":"\u001b[2J\u009b31m"}',
    "bidi": '{"a":"\u202egnp.exe"}'.encode(),
    "markup of tables": b'{"[/bold]":"[red]x[/]"}',
    "no number of JSON": b'{"a":NaN,"b":[-Infinity,1e999]}',
    "deep": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "deeper": b"[" * 100_000,
    "a number that fills the screen": b'{"a":' + b"9" * 4000 + b"}",
    "a number that Python refuses": b'{"a":' + b"9" * 5000 + b"}",
    "no object": b'"just words"',
    "no JSON": b"\xff\xfe\x1b[2J\n",
    "UTF-16": '{"a":"\ud7ff\x1b"}'.encode("utf-16"),
    "nothing": b"",
    "long": json.dumps({"a": "x" * 60_000}).encode(),
}


def line(payload, retained=False):
    return listen._line(Reading("lamp-000001", 1.0, values_of(payload), retained))


@pytest.mark.parametrize("payload", NASTY.values(), ids=NASTY)
def test_whatever_a_device_says_is_one_short_line_of_its_own(payload):
    said = line(payload)
    assert said.isprintable()
    assert len(said) < 1100
    assert "lamp-000001" in said
    values = json.loads(json_line(listen._object(Reading("lamp-000001", 1.0, values_of(payload)))))["values"]
    assert isinstance(values, dict)


# most bytes are no JSON, so some are made of its pieces
PIECES = st.sampled_from(
    [b'{"a":', b"}", b"[", b"]", b'"', rb"\ud83d", rb"\u001b", b"1", b",", b"NaN", b"null", b"\n", b"\x1b", b"\xff"]
)


@given(
    st.binary() | st.lists(PIECES).map(b"".join) | st.lists(PIECES).map(lambda made: b'{"a":"' + b"".join(made) + b'"}')
)
def test_no_bytes_make_more_than_a_line(payload):
    assert line(payload).isprintable()
    printed = json_line(listen._object(Reading("lamp-000001", 1.0, values_of(payload))))
    assert printed.isprintable()
    assert printed.isascii()
    json.loads(printed, parse_constant=pytest.fail)


def test_what_is_said_in_order_is_shown_as_it_was():
    assert values_of(b'{"temperature":21.5,"on":true,"note":"\xc3\xbc"}') == {
        "temperature": 21.5,
        "on": True,
        "note": "ü",
    }
    assert text_of({"temperature": 21.5, "note": "ü"}) == "temperature 21.5  note ü"
    assert values_of(b"just words") == {"raw": "just words"}
    # what JSON cannot say goes on as the text that it was
    assert values_of(b'{"a":NaN}') == {"raw": '{"a":NaN}'}
    assert values_of(b'{"a":1e999}') == {"raw": '{"a":1e999}'}


def test_a_long_line_goes_on_indented_so_that_its_rest_is_nobody_elses(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    shown = line(json.dumps({"a": "電" * 5 + "x" * 25 + "02:33:50  lamp-000002  temperature 99"}).encode())
    _, *rest = shown.split("\n")
    assert rest
    assert all(each.startswith("    ") for each in rest)
    assert "lamp-000002" in "".join(each[4:] for each in rest)
    assert line(b'{"a":1}').count("\n") == 0


@pytest.fixture
def heard(listener, state, hierarchy, gateway_side, now, tmp_path):
    """Start a command at the listener, with a broker beside it that says this."""
    server = hierarchy.authority("server")
    key = keys.new_key()
    leaf = server.issue("server", key.public_key(), "localhost", now=now, sans=["localhost", "127.0.0.1"])
    (tmp_path / "chain.pem").write_bytes(pem(leaf))
    (tmp_path / "key.pem").write_bytes(keys.plain_pem(key))
    (tmp_path / "operators.pem").write_bytes(
        pem(hierarchy.authority("root").certificate, hierarchy.authority("operator").certificate)
    )
    for device in ("lamp-000001", "lamp-000002", "lamp-000003"):
        made = hierarchy.authority("factory").issue("factory-device", new_key().public_key(), device, now=now)
        gateway_side.import_(registration([certificate_entry(device, made)]), now)
    broker = Broker()
    context = server_context(tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "operators.pem")
    with serving(context, broker.handle) as port:
        site = json.loads((state / "site.json").read_text())
        site["gateways"]["gateway"]["mqtt_port"] = port
        (state / "site.json").write_text(json.dumps(site))

        def run(*arguments, messages=(), **environment):
            broker.greeting = [(f"devices/{device}/out/readings", *rest) for device, *rest in messages]
            return subprocess.Popen(
                [Path(sys.executable).with_name("fleetmint"), *arguments],
                env={**os.environ, "FLEETMINT_STATE": str(state), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="strict",
            )

        yield run


def done(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_listening_goes_on_whatever_comes(heard, encoding):
    messages = [("lamp-000001", payload, 0) for payload in NASTY.values()] + [("lamp-000002", b'{"n":1}', 0)]
    code, lines, err = done(
        heard("listen", "--count", str(len(messages)), "--seconds", "30", messages=messages, PYTHONIOENCODING=encoding)
    )
    assert (code, err) == (0, "")
    assert len(lines) == len(messages)
    assert [each.split()[1] for each in lines] == ["lamp-000001"] * len(NASTY) + ["lamp-000002"]
    assert lines[0].endswith(r"a \ud83d")


def test_what_the_broker_kept_is_marked_and_not_counted_and_that_of_revoked_devices_left_out(heard, gateway_side, now):
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    messages = [
        ("lamp-000001", b'{"n":1}', 1, True),
        ("lamp-000002", b'{"n":2}', 1, True),
        ("lamp-000003", b'{"n":3}', 1, False),
    ]
    code, lines, err = done(heard("listen", "--count", "1", "--seconds", "30", messages=messages))
    assert (code, err) == (0, "")
    assert [each.split()[1] for each in lines] == ["lamp-000001", "lamp-000003"]
    assert lines[0] == "--:--:--  lamp-000001  (kept by the broker, age unknown)  n 1"
    assert "kept" not in lines[1]
    code, lines, err = done(heard("listen", "--json", "--count", "1", "--seconds", "30", messages=messages))
    kept, live = map(json.loads, lines)
    assert kept == {"device": "lamp-000001", "at": None, "retained": True, "values": {"n": 1}}
    assert (live["device"], live["retained"]) == ("lamp-000003", False)
    assert abs(datetime.fromisoformat(live["at"]) - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_table_of_devices_shows_the_same(heard, gateway_side, now):
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    messages = [
        ("lamp-000001", NASTY["markup of tables"], 0),
        ("lamp-000001", b'{"n":1}', 0, True),  # older than what it just said
        ("lamp-000002", b'{"n":2}', 1, True),
        ("lamp-000003", FORGED, 1, True),
    ]
    code, lines, err = done(heard("devices", "--readings", "2", messages=messages))
    assert (code, err) == (0, "")
    text = "\n".join(lines)
    assert "[/bold] [red]x[/]" in text
    assert r"1\n02:33:50" in text
    assert text.count("kept by the broker, age unknown") == 1
    assert not any(each.startswith("02:33:50") for each in lines)
    code, lines, err = done(heard("devices", "--readings", "2", "--json", messages=messages))
    rows = {row["device"]: row for row in json.loads("\n".join(lines))["devices"]}
    assert (rows["lamp-000001"]["reading"], rows["lamp-000001"]["reading_retained"]) == (
        {"[/bold]": "[red]x[/]"},
        False,
    )
    assert (rows["lamp-000002"]["reading"], rows["lamp-000002"]["reading_retained"]) == (None, None)
    assert rows["lamp-000003"]["reading_retained"] is True


@pytest.mark.parametrize("named", ["option", "environment"])
def test_the_boards_of_devices_are_in_the_ledger_that_was_named(heard, state, bench, burned, named, tmp_path):
    bench(mark_registered, "first", ["lamp-000001", "lamp-000002"], actor="test")
    unit = burned()
    (state / "ledger.sqlite").rename(tmp_path / "elsewhere.sqlite")
    url = f"sqlite:///{tmp_path}/elsewhere.sqlite"
    option, environment = (("--ledger", url), {}) if named == "option" else ((), {"FLEETMINT_LEDGER": url})
    code, lines, err = done(heard("devices", "--json", *option, **environment))
    assert (code, err) == (0, "")
    rows = {row["device"]: row for row in json.loads("\n".join(lines))["devices"]}
    assert rows[unit.device]["mac"] == unit.mac
    assert not (state / "ledger.sqlite").exists()


def test_server_cas_that_are_gone_are_missed_in_one_sentence(fleetmint, refused, listener, state):
    site = json.loads((state / "site.json").read_text())
    site["ca"]["directory"] = str(state / "nowhere")
    (state / "site.json").write_text(json.dumps(site))
    refused(fleetmint("devices"), f"there is no server CA in {state}/nowhere", "ca.yml")


def test_ctrl_c_ends_the_listening_without_a_word(heard):
    process = heard("listen", messages=[("lamp-000001", b'{"n":1}', 0)])
    assert "lamp-000001" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert done(process) == (130, [], "")
