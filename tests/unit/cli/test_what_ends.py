"""Every command says in one line on stderr what will lock somebody out before long."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.trust import bundle
from fleetmint.x509 import keys
from fleetmint.x509.authority import self_signed


@pytest.fixture
def later(monkeypatch, now):
    """Let commands be run so many days after everything was made."""
    monkeypatch.setattr("fleetmint.x509.expiries._NAMED", 99)

    def move(days):
        class Clock:
            @staticmethod
            def now(_zone):
                return now + timedelta(days=days)

        monkeypatch.setattr("fleetmint.cli.place.datetime", Clock)

    return move


def test_nothing_is_said_while_everything_lasts(fleetmint):
    assert fleetmint("batch", "list").stderr == ""


@pytest.mark.parametrize("command", [("batch", "list"), ("ca", "show"), ("batch", "show", "first")])
def test_operators_whose_certificates_end_within_90_days_are_named_in_one_line(fleetmint, later, command):
    later(709)
    assert "alice@test" not in fleetmint(*command).stderr
    later(711)
    said = fleetmint(*command)
    (line,) = [line for line in said.stderr.splitlines() if "alice@test" in line]
    assert line.startswith("fleetmint: warning: ")
    assert "operator bench@test ends on " in line
    assert line.endswith(": `fleetmint ca show` says what renews it")
    assert line.count("alice@test") == 1
    assert "warning" not in said.stdout


def test_json_stays_clean(fleetmint, later):
    later(740)
    assert fleetmint("ca", "show", "--json")["site"] == "test"


def test_an_anchor_that_another_one_outlasts_is_no_alarm(fleetmint, later, state, now, monkeypatch):
    later(10 * 365 - 80)
    assert "anchor test server CA" in fleetmint("batch", "list").stderr
    short = x509.load_pem_x509_certificate((state / "ca/server/ca.crt").read_bytes())
    long = self_signed("test", "test later CA", keys.new_key("P-384"), now).certificate
    anchors = tuple(each.public_bytes(Encoding.DER) for each in (short, long))
    load = bundle.load
    monkeypatch.setattr("fleetmint.trust.bundle.load", lambda path: replace(load(path), anchors=anchors))
    assert "anchor" not in fleetmint("batch", "list").stderr


def test_a_gateway_is_named_and_a_device_is_not(fleetmint, later):
    later(10 * 365)
    line = fleetmint("batch", "list").stderr
    assert "server gateway (nginx) ended on" in line
    assert "CA test operator CA ends on" in line or "CA test operator CA ended on" in line
    assert "lamp" not in line


def test_whoever_is_revoked_or_has_long_been_gone_is_no_alarm(fleetmint, later):
    fleetmint("revoke", "alice@test")
    later(740)
    line = fleetmint("batch", "list").stderr
    assert "alice@test" not in line
    assert "bob@test" in line
    later(800 + 89)
    assert "operator bob@test ended on" in fleetmint("batch", "list").stderr
    later(800 + 91)
    assert "bob@test" not in fleetmint("batch", "list").stderr


def test_what_has_stopped_a_command_is_said_alone(fleetmint, later, refused):
    later(740)
    refused(fleetmint("batch", "show", "no-such-batch"), "no-such-batch")


def test_a_damaged_state_or_none_is_left_to_the_command(fleetmint, state, later):
    later(740)
    (state / "ca/operator/crl.pem").write_text("no list")
    assert fleetmint("batch", "list").stderr == ""
    shutil.rmtree(state / "ca")
    assert fleetmint("batch", "list").stderr == ""
    (state / "site.json").write_text(json.dumps([]))
    assert "what renews" not in fleetmint("batch", "list").stderr
