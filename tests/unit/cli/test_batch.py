"""`fleetmint batch`: made from a file, shown and exported without secrets, shredded."""

import csv
import json
import os

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.image import nvs_entries
from fleetmint.errors import FleetmintError
from fleetmint.ledger import events, open_ledger, reading, writing
from fleetmint.ledger import factory as ledger

PSK = "canary in the mine"
SPRING = """\
prefix: bulb
product: Bulb
hardware: C
devices:
  - count: 2
  - serials: [17]
    key_origin: factory
    wifi: guests
"""


@pytest.fixture
def site(state):
    content = json.loads((state / "site.json").read_text())
    listeners = {"host": "gateway.local", "https_port": 8443, "mqtt_port": 8884}
    content["gateways"] = {"gateway": {**listeners, "devices_https_port": 443, "devices_mqtt_port": 8883}}
    content["wifi"] = [
        {"name": "default", "ssid": "workshop", "open": False},
        {"name": "guests", "ssid": "guests", "open": True},
    ]
    (state / "site.json").write_text(json.dumps(content))
    (state / "spring.yml").write_text(SPRING)
    (state / "networks").write_text(f"default {PSK}\n")
    return state


@pytest.fixture
def new(site, fleetmint):
    def run(*arguments, file="spring.yml"):
        return fleetmint(
            "batch", "new", site / file, "--wifi-passphrases", f"file:{site / 'networks'}", *arguments, "--json"
        )

    return run


def burn(state, *devices, now):
    engine = open_ledger(f"sqlite:///{state / 'ledger.sqlite'}")
    with writing(engine) as connection:
        known = [unit.device for unit in ledger.list_units(connection, "spring")]
        ledger.mark_registered(connection, "spring", known, actor="test", now=now)
        for number, _ in enumerate(devices):
            unit = ledger.claim(connection, "spring", f"24:0a:c4:00:01:{number:02x}", "slot", port="p", now=now)
            ledger.record_burned(connection, unit.device, "slot", now=now)
    engine.dispose()


def test_a_batch_is_made_from_its_file_and_a_second_time_nothing_changes(
    new, site, fleetmint, snapshot, hierarchy, now
):
    before = snapshot(site)
    assert new("--check")["changed"] is True
    assert snapshot(site) == before
    made = new()
    assert (made["changed"], made["batch"], made["gateway"], made["devices"]) == (True, "spring", "gateway", 3)
    known = secrets.load(site / "batches/spring", hierarchy.source)
    assert nvs_entries("bulb-000001", known, now)["fleetmint"]["wifi_psk"] == PSK.encode()
    assert nvs_entries("bulb-000017", known, now)["fleetmint"]["wifi_psk"] == b""
    before = snapshot(site / "batches")
    # what the batch has needs no passphrase of a network again
    again = fleetmint("batch", "new", site / "spring.yml", "--json")
    assert (again["changed"], again["reasons"]) == (False, [])
    assert snapshot(site / "batches") == before


def test_passphrases_of_networks_come_from_a_descriptor_and_never_by_chance(site, fleetmint, refused, hierarchy, now):
    refused(fleetmint("batch", "new", site / "spring.yml"), "no terminal", "--wifi-passphrases fd:NUMBER")
    refused(fleetmint("batch", "new", site / "spring.yml", "--wifi-passphrases", PSK), "no source of Wi-Fi")
    for line, reason in ((b"guests x\n", "has no line"), (b"default short\n", "8 to 63 characters")):
        reader, writer = os.pipe()
        os.write(writer, line)
        os.close(writer)
        result = fleetmint("batch", "new", site / "spring.yml", "--wifi-passphrases", f"fd:{reader}")
        refused(result, reason)
        assert "short" not in result.stderr
    # what would change needs no passphrase
    assert fleetmint("batch", "new", site / "spring.yml", "--check", "--json")["changed"]
    assert not (site / "batches/spring").exists()
    reader, writer = os.pipe()
    os.write(writer, f"default {PSK}\n".encode())
    os.close(writer)
    assert fleetmint("batch", "new", site / "spring.yml", "--wifi-passphrases", f"fd:{reader}", "--json")["changed"]


def test_every_problem_of_the_file_is_a_line(site, fleetmint):
    (site / "spring.yml").write_text(SPRING.replace("guests", "moon").replace("count: 2", "count: two"))
    result = fleetmint("batch", "new", site / "spring.yml")
    assert result.exit_code == 1
    assert ["line 5" in line or "line 8" in line for line in result.stderr.splitlines()] == [True, True]


def test_show_and_export_tell_states_boards_and_serials_and_no_secret(new, site, fleetmint, hierarchy, now):
    new()
    burn(site, "first", now=now)
    shown = fleetmint("batch", "show", "spring", "--json")
    assert shown["states"]["burned"] == 1
    rows = shown["devices"]
    assert [(row["device"], row["state"], row["mac"]) for row in rows] == [
        ("bulb-000001", "burned", "24:0a:c4:00:01:00"),
        ("bulb-000002", "planned", ""),
        ("bulb-000017", "planned", ""),
    ]
    assert (rows[2]["serial"], rows[2]["product"], rows[2]["hardware"]) == ("000017", "Bulb", "C")
    assert len(rows[2]["certificate_serial"]) == 40
    listed = fleetmint("batch", "list", "--json")["batches"]
    assert {each["batch"]: each["devices"] for each in listed} == {"first": 2, "spring": 3}
    text = fleetmint("batch", "show", "spring", "--only", "burned").stdout
    assert "Bulb C, for gateway; 2 planned, 1 burned" in text
    assert "bulb-000001" in text
    assert "bulb-000002" not in text
    fleetmint("batch", "export", "spring", "--out", site / "spring-out.csv")
    written = (site / "spring-out.csv").read_text()
    assert list(csv.DictReader(written.splitlines())) == rows
    everything = json.dumps(shown) + text + written + fleetmint("batch", "list").stdout
    for secret in secrets.load(site / "batches/spring", hierarchy.source).devices.values():
        assert secret.token is None or secret.token not in everything
    assert PSK not in everything


def test_what_is_no_batch_is_told(site, fleetmint, refused):
    for command in (("show", "autumn"), ("export", "autumn"), ("shred", "autumn", "--yes")):
        refused(fleetmint("batch", *command), "there is no batch in", "`fleetmint batch list` lists them")
    refused(fleetmint("batch", "show", "../first"), "is no device id")
    for command in (("show",), ("labels", "--out", "-")):
        assert fleetmint("batch", *command, "first", "--only", "burnt").exit_code == 2


def test_shredding_asks_for_the_name_and_destroys_what_is_secret_for_ever(
    new, site, fleetmint, refused, hierarchy, now
):
    new()
    directory = site / "batches/spring"
    refused(
        fleetmint("batch", "shred", "spring", "--yes"), "3 devices of spring are not burnt (3 planned)", "--unburnt"
    )
    burn(site, "first", "second", "third", now=now)
    assert fleetmint("batch", "shred", "spring", "--check", "--json")["changed"] is True
    for answer in ("summer\n", ""):
        result = fleetmint("batch", "shred", "spring", input=answer)
        assert result.exit_code == 1
        assert "nothing was destroyed" in result.stderr
    assert (directory / "batch.key").exists()
    public = (directory / "registration.json").read_bytes()
    assert "destroyed" in fleetmint("batch", "shred", "spring", input="spring\n").stdout
    assert {path.name for path in directory.iterdir()} == {"registration.json", "batch.json"}
    assert (directory / "registration.json").read_bytes() == public
    with pytest.raises(FleetmintError, match="or it was shredded"):
        secrets.load(directory, hierarchy.source)
    assert fleetmint("batch", "shred", "spring", "--yes", "--json")["changed"] is False
    assert fleetmint("batch", "show", "spring", "--json")["shredded"] is True
    refused(
        fleetmint("batch", "new", site / "spring.yml", "--wifi-passphrases", f"file:{site / 'networks'}"), "shredded"
    )
    engine = open_ledger(f"sqlite:///{site / 'ledger.sqlite'}")
    with reading(engine) as connection:
        kinds = [row.kind for row in connection.execute(events.events.select()) if row.subject == "spring"]
        assert events.broken_links(connection) == ()
    engine.dispose()
    assert kinds.count("shredded") == 1


def test_a_shredding_that_was_cut_goes_on(new, site, fleetmint, now):
    new()
    burn(site, "first", "second", "third", now=now)
    (site / "batches/spring/batch.key").unlink()
    assert fleetmint("batch", "shred", "spring", "--yes", "--json")["changed"] is True
    assert not (site / "batches/spring/secrets.bin").exists()
