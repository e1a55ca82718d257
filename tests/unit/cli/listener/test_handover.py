"""Registering and handing over: at a gateway's real listener (TLS, the service behind it) and with signed files."""

import json

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.ledger import factory, open_ledger, reading, writing
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import events

MAC = "24:0a:c4:00:00:01"


def known(gateway_side):
    with gateway_side.reading() as connection:
        return {each.device: (each.status, each.mac, each.result) for each in list_devices(connection)}


def registered(state):
    engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
    with reading(engine) as connection:
        found = [unit.device for unit in factory.list_units(connection, "first") if unit.registered_at]
    engine.dispose()
    return found


@pytest.mark.usefixtures("listener")
def test_a_batch_is_registered_burned_and_handed_over_and_both_sides_agree(fleetmint, gateway_side, state, burned):
    assert fleetmint("batch", "register", "first", "--check", "--json")["added"] == 2
    assert (known(gateway_side), registered(state)) == ({}, [])
    said = fleetmint("batch", "register", "first", "--json")
    assert said == {
        "as": "bench@test",
        "changed": True,
        "skipped": [],
        "kept": [],
        "added": 2,
        "replaced": 0,
        "unchanged": 0,
    }
    assert registered(state) == ["lamp-000001", "lamp-000002"]
    assert "2 unchanged" in fleetmint("batch", "register", "first").stdout
    burned()
    assert "the gateway says none" in fleetmint("audit", "--ask-gateway").stdout
    assert fleetmint("batch", "handover", "first", "--json")["updated"] == 1
    again = fleetmint("batch", "handover", "first", "--json")
    assert (again["changed"], again["unchanged"]) == (False, 1)
    assert known(gateway_side)["lamp-000001"] == ("registered", MAC, "burned")
    assert fleetmint("audit", "--ask-gateway", "--json") == {"findings": []}
    with gateway_side.reading() as connection:
        assert {row.actor for row in connection.execute(events.select())} == {"bench@test"}


@pytest.mark.usefixtures("listener")
def test_a_large_batch_goes_in_parts(fleetmint, gateway_side, monkeypatch):
    monkeypatch.setattr("fleetmint.cli.bench.handover.LARGEST", 300)
    assert fleetmint("batch", "register", "first", "--json")["added"] == 2
    assert len(known(gateway_side)) == 2
    with gateway_side.reading() as connection:
        assert len(connection.execute(events.select()).all()) == 2


@pytest.mark.usefixtures("listener")
def test_a_device_that_the_gateway_keeps_as_it_is_does_not_count_as_registered(
    fleetmint, gateway_side, state, now, bench
):
    fleetmint("batch", "register", "first")
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
    with writing(engine) as connection:
        connection.exec_driver_sql("update units set registered_at = null")
    engine.dispose()
    said = fleetmint("batch", "register", "first")
    assert "lamp-000001 is kept as it is: the device is revoked" in said.stdout
    assert registered(state) == ["lamp-000002"]


@pytest.mark.usefixtures("listener")
def test_nobody_but_the_station_tells_the_gateway_and_a_refusal_says_why(fleetmint, gateway_side, refused, state):
    refused(fleetmint("batch", "register", "first", "--as", "alice@test"), "403", "alice@test is no station")
    refused(fleetmint("batch", "register", "first", "--as", "nobody@test"), "no usable certificate")
    assert (known(gateway_side), registered(state)) == ({}, [])
    path = state / "batches/first/registration.json"
    path.write_text(path.read_text().replace('"site": "test"', '"site": "other"'))
    refused(fleetmint("batch", "register", "first"), "409", "the document's site is 'other'")
    path.write_text("{")
    refused(fleetmint("batch", "register", "first"), "is damaged")
    refused(fleetmint("batch", "handover", "second"), "there is no batch second")


def test_without_a_network_signed_files_do_it(fleetmint, gateway_side, state, burned, tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(gateway_side.config_path))

    def bring(name):
        result = CliRunner().invoke(root, ["gateway", "import", str(tmp_path / name), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    told = fleetmint("batch", "register", "first", "--to", tmp_path / "first.registration")
    assert "2 devices of first, signed by bench@test" in told.stdout
    assert registered(state) == ["lamp-000001", "lamp-000002"]
    assert bring("first.registration")["added"] == 2
    burned()
    assert fleetmint("batch", "handover", "first", "--to", tmp_path / "first.handover", "--json")["devices"] == 1
    assert bring("first.handover")["updated"] == 1
    assert known(gateway_side)["lamp-000001"][1] == MAC
    assert gateway_side.findings() == ()
    assert bring("first.registration")["changed"] is False
    text = (tmp_path / "first.registration").read_text() + (tmp_path / "first.handover").read_text()
    assert "PRIVATE" not in text


def test_a_gateway_that_is_away_is_told_with_the_way_round_it(fleetmint, state, refused):
    site = json.loads((state / "site.json").read_text())
    site["gateways"] = {"gateway": {"host": "127.0.0.1", "https_port": 1, "mqtt_port": 1}}
    (state / "site.json").write_text(json.dumps(site))
    refused(fleetmint("batch", "register", "first"), "is the gateway up?", "--to writes a file")
    assert registered(state) == []
