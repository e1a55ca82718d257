"""A batch of machines that are no boards: what each of them gets, once, and how it becomes a client with that."""

import json
import shutil

import pytest
from cryptography import x509

from fleetmint.batch import secrets
from fleetmint.documents import token as tokens
from fleetmint.ledger import factory, open_ledger, writing
from fleetmint.x509 import keys

SENSORS = "prefix: sensor\nchip: linux\ndevices:\n  - count: 1\n  - count: 1\n    key_origin: factory\n"
MADE_HERE, MADE_THERE = "sensor-000002", "sensor-000001"


@pytest.fixture
def site(state, fleetmint):
    content = json.loads((state / "site.json").read_text())
    listeners = {"host": "gateway.local", "https_port": 8443, "mqtt_port": 8884}
    content["gateways"] = {"gateway": {**listeners, "devices_https_port": 443, "devices_mqtt_port": 8883}}
    content["wifi"] = []  # none is wanted
    (state / "site.json").write_text(json.dumps(content))
    (state / "sensors.yml").write_text(SENSORS)
    assert fleetmint("batch", "new", state / "sensors.yml", "--json")["changed"]
    return state


@pytest.fixture
def registered(site, now):
    with writing(open_ledger(f"sqlite:///{site / 'ledger.sqlite'}")) as connection:
        factory.mark_registered(connection, "sensors", {MADE_HERE, MADE_THERE}, actor="test", now=now)
    return site


def test_a_batch_of_machines_needs_no_wifi_and_changes_nothing_the_second_time(site, fleetmint):
    again = fleetmint("batch", "new", site / "sensors.yml", "--json")
    assert (again["changed"], again["reasons"]) == (False, [])


def test_the_token_of_a_machine_comes_with_whom_to_trust(registered, fleetmint, hierarchy):
    out = registered / "sensor.token"
    said = fleetmint("batch", "export", "sensors", "--token", MADE_THERE, "--out", out)
    assert f"fleetmint enrol --token-file {out.name}" in said.stdout
    token, contact = tokens.load_contact(out)
    assert token.token == secrets.load(registered / "batches/sensors", hierarchy.source).of(MADE_THERE).token
    assert token.token not in said.output
    assert (token.device, contact.reach.gateway, contact.reach.https_port) == (MADE_THERE, "gateway.local", 443)
    assert contact.bundle.encode() == (hierarchy.directory / "bundle.bin").read_bytes()
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_key_of_the_factory_comes_as_files_for_a_client(registered, fleetmint, openssl, hierarchy):
    out = registered / "sensor"
    said = fleetmint("batch", "export", "sensors", "--pem", MADE_HERE, "--out", out, "--json")
    assert said == {"device": MADE_HERE, "out": str(out)}
    assert (out / "key.pem").stat().st_mode & 0o777 == 0o600
    ca, factory_ca = (hierarchy.directory / name / "ca.crt" for name in ("root", "factory"))
    assert openssl("verify", "-CAfile", ca, "-untrusted", factory_ca, out / "cert.pem").returncode == 0
    certificate = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    key = keys.load_key((out / "key.pem").read_bytes(), None, "key")
    assert keys.spki(certificate.public_key()) == keys.spki(key.public_key())
    about = json.loads((out / "client.json").read_text())
    assert (about["name"], about["mqtt_port"]) == (MADE_HERE, 8883)
    assert (out / "ca.pem").read_bytes().startswith(b"-----BEGIN TRUSTED CERTIFICATE-----")


def test_an_identity_leaves_the_bench_once(registered, fleetmint, refused):
    first, second = registered / "first", registered / "second"
    assert fleetmint("batch", "export", "sensors", "--pem", MADE_HERE, "--out", first).exit_code == 0
    refused(fleetmint("batch", "export", "sensors", "--pem", MADE_HERE, "--out", second), "was exported on", "--again")
    assert not second.exists()
    refused(fleetmint("batch", "export", "sensors", "--pem", MADE_HERE, "--out", first, "--again"), "something in")
    shutil.rmtree(first)
    assert fleetmint("batch", "export", "sensors", "--pem", MADE_HERE, "--out", first, "--again").exit_code == 0
    shutil.rmtree(first)
    assert fleetmint("audit", "--json")["findings"] == []


def test_what_cannot_be_exported_is_told_with_what_can(registered, fleetmint, refused, now):
    out = registered / "out"
    export = ("batch", "export", "sensors", "--out", out)
    refused(fleetmint(*export, "--pem", MADE_THERE), "makes its key itself", f"--token {MADE_THERE}")
    refused(fleetmint(*export, "--token", MADE_HERE), "the factory made the key", f"--pem {MADE_HERE}")
    refused(fleetmint(*export, "--pem", "sensor-000009"), "there is no sensor-000009 in the batch", "batch show")
    board = ("batch", "export", "first", "--out", out, "--pem", "lamp-000002")
    refused(fleetmint(*board), "is for boards (esp32)", "chip: linux")
    assert not out.exists()
    assert fleetmint("batch", "export", "sensors", "--pem", MADE_HERE).exit_code == 2
    assert fleetmint(*export, "--pem", MADE_HERE, "--token", MADE_THERE).exit_code == 2
    assert fleetmint("batch", "export", "sensors", "--again").exit_code == 2


def test_a_machine_that_its_gateway_does_not_know_yet_gets_nothing(site, fleetmint, refused):
    out = site / "out"
    refused(fleetmint("batch", "export", "sensors", "--token", MADE_THERE, "--out", out), "batch register sensors")
    assert not out.exists()


def test_nothing_is_burned_for_machines(registered, fleetmint):
    said = fleetmint("burn", "sensors", "--port", "/dev/null")
    assert said.exit_code == 1
    assert "is of Linux machines" in said.stderr
    assert "batch export BATCH --token DEVICE" in said.stderr


def test_the_table_is_had_as_json_too(registered, fleetmint):
    rows = fleetmint("batch", "export", "sensors", "--json")["devices"]
    assert [row["device"] for row in rows] == [MADE_THERE, MADE_HERE]
