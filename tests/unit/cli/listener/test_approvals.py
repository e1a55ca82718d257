"""Approving devices, at a gateway's real listener and on the gateway itself."""

import json

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.ledger import approvals, open_ledger
from fleetmint.ledger.approvals import ApprovalPendingError
from fleetmint.ledger.schema import events
from fleetmint.service.enrolment import enrol
from tests.support.gateway_site import enrolment, issuing, new_key

pytestmark = pytest.mark.usefixtures("listener")
LAMP = "lamp-000001"


@pytest.fixture
def asks(gateway_side, now):
    """Have a key ask to be the lamp; return the beginning of its SHA-256."""
    token = gateway_side.register(now, LAMP, policy={"approval": "manual"})[LAMP]

    def ask(source="192.0.2.1"):
        engine = open_ledger(gateway_side.config.ledger)
        try:
            with pytest.raises(ApprovalPendingError):
                enrol(issuing(engine, gateway_side.device_ca, now), enrolment(LAMP, token, new_key()), source=source)
        finally:
            engine.dispose()
        with gateway_side.reading() as connection:
            return next(row.key for row in approvals.list_waiting(connection, now) if row.source == source)

    return ask


def decided_by(gateway_side):
    with gateway_side.reading() as connection:
        wanted = events.c.kind.in_(("approve", "deny"))
        return [(row.kind, row.actor) for row in connection.execute(events.select().where(wanted))]


def test_an_operator_sees_what_waits_and_approves_it_from_the_controller(fleetmint, gateway_side, asks):
    key = asks()
    (row,) = fleetmint("waiting", "--json")["approvals"]
    assert (row["gateway"], row["device"], row["key"], row["source"]) == ("gateway", LAMP, key, "192.0.2.1")
    assert key in fleetmint("waiting").stdout
    done = fleetmint("approve", LAMP)
    assert (done.exit_code, done.stdout) == (0, f"{LAMP} is approved with the key {key}\n")
    assert fleetmint("waiting").stdout == "nothing waits for approval\n"
    assert fleetmint("approve", LAMP).stdout == f"{LAMP} was approved before\n"
    assert decided_by(gateway_side) == [("approve", "bench@test")]


def test_of_two_keys_one_has_to_be_named(fleetmint, gateway_side, asks):
    theirs, mine = asks("198.51.100.7"), asks()
    both = fleetmint("approve", LAMP)
    assert both.exit_code == 1
    assert "--fingerprint" in both.stderr
    assert {theirs[:16], mine[:16]} <= set(both.stderr.replace(",", " ").split())
    assert fleetmint("approve", LAMP, "--fingerprint", mine[:8]).exit_code == 0
    assert decided_by(gateway_side) == [("deny", "bench@test"), ("approve", "bench@test")]


def test_nothing_is_denied_that_has_not_asked(fleetmint):
    done = fleetmint("deny", LAMP)
    assert done.exit_code == 1
    assert f"nothing of {LAMP} waits for approval" in done.stderr


def test_the_gateway_itself_does_the_same(gateway_side, asks, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(gateway_side.config_path))

    def gateway(*arguments):
        return CliRunner().invoke(root, ["gateway", *arguments])

    key = asks()
    (row,) = json.loads(gateway("waiting", "--json").stdout)["approvals"]
    assert row["key"] == key
    assert gateway("deny", LAMP).stdout == f"{LAMP} is denied with the key {key}\n"
    assert gateway("deny", LAMP).stdout == f"{LAMP} was denied before\n"
    assert gateway("waiting").stdout == "nothing waits for approval\n"
    refused = gateway("approve", LAMP)
    assert (refused.exit_code, "name the key" in refused.stderr) == (1, True)
    assert json.loads(gateway("approve", LAMP, "--fingerprint", key, "--json").stdout)["keys"] == [key]
    assert decided_by(gateway_side) == [("deny", "command line"), ("approve", "command line")]
