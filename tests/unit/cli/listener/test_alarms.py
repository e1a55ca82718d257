"""What the controller learns of the gateways about what ends, and whether their alarms would reach somebody."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from fleetmint.ledger.schema import certificates

pytestmark = pytest.mark.usefixtures("listener")


@pytest.fixture
def unit(gateway_side):
    """What systemd does for each connection: start the command with the connection as its standard streams."""
    config = gateway_side.config
    program = [str(Path(sys.executable).with_name("fleetmint")), "gateway", "alert", str(config.alert)]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(config.alert_socket))
        server.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    session, _ = server.accept()
                    with session:
                        subprocess.run(program, stdin=session, stdout=session, check=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield config.alert
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_alert_test_runs_the_command_on_the_gateway_and_says_what_it_answered(fleetmint, unit):
    unit.write_text(json.dumps({"command": ["/bin/cat"]}))
    done = fleetmint("alert", "test")
    assert done.exit_code == 0
    assert "Gateway gateway of test: this is a test, nothing is due." in done.stdout
    assert "worked" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [(["/bin/sh", "-c", "echo no route; exit 6"], "/bin/sh ended with 6: no route"), ([], "has no alert_command")],
)
def test_an_alert_that_reaches_nobody_is_a_failure(fleetmint, unit, command, said):
    unit.write_text(json.dumps({"command": command}))
    done = fleetmint("alert", "test")
    assert done.exit_code == 1
    assert said in done.stdout


def test_a_gateway_whose_unit_is_away_is_a_failure(fleetmint):
    answer = fleetmint("alert", "test", "--json")["gateways"]
    assert [(row["gateway"], row["ok"]) for row in answer] == [("gateway", False)]
    assert "does not answer" in answer[0]["said"]


def test_only_a_station_may_have_it_tried(fleetmint, unit):
    unit.write_text(json.dumps({"command": ["/bin/cat"]}))
    done = fleetmint("alert", "test", "--as", "alice@test")
    assert done.exit_code == 1
    assert "is no station of this gateway" in done.stdout


def test_devices_that_have_not_renewed_and_tokens_that_nobody_used_are_listed(fleetmint, gateway_side, now):
    assert fleetmint("batch", "register", "first").exit_code == 0
    assert fleetmint("devices", "--not-renewed", "--json")["devices"] == []
    (unused,) = fleetmint("devices", "--unused-tokens", "--json")["devices"]
    assert (unused["device"], unused["status"]) == ("lamp-000001", "registered")
    with gateway_side.writing() as connection:
        connection.execute(update(certificates).values(not_after=now + timedelta(days=80)))
        connection.execute(update(certificates).values(not_before=now - timedelta(days=285)))
    (late,) = fleetmint("devices", "--not-renewed", "--json")["devices"]
    assert late["device"] == "lamp-000002"
    rows = fleetmint("ca", "show", "--ask-gateway", "--json")["expiries"]
    by_name = {(row["kind"], row["name"]): row for row in rows}
    assert by_name["device", "lamp-000002"]["due"]
    assert by_name["token", "lamp-000001"]["ends"] == unused["token_expires"]
    assert "fleetmint token new lamp-000001" in by_name["token", "lamp-000001"]["renew_with"]
