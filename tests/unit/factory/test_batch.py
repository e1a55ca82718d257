import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from fleetmint.errors import FleetmintError, StateError
from fleetmint.factory import secrets
from fleetmint.factory.batch import plan_batch
from fleetmint.factory.image import nvs_entries
from fleetmint.factory.spec import Unit
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.factory import list_units
from fleetmint.ledger.registration import read_registration
from fleetmint.pki.authority import load_certificate


def snapshot(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_batch_gives_each_device_what_its_key_origin_asks_for(
    batch, common, place, hierarchy, now, openssl, tmp_path
):
    plan_batch(batch, common, place, hierarchy, now).apply()
    known = secrets.load(place.directory).devices
    assert len({known["lamp-000001"].token, known["lamp-000002"].token}) == 2
    assert len(known["lamp-000001"].token) == 32
    made = known["lamp-000003"]
    assert made.token is None
    (tmp_path / "key.der").write_bytes(made.key)
    (tmp_path / "leaf.der").write_bytes(made.certificate)
    public = openssl("pkey", "-inform", "DER", "-in", tmp_path / "key.der", "-pubout").stdout
    assert openssl("x509", "-inform", "DER", "-in", tmp_path / "leaf.der", "-noout", "-pubkey").stdout == public
    subject = openssl("x509", "-inform", "DER", "-in", tmp_path / "leaf.der", "-noout", "-subject").stdout
    assert subject.strip() == b"subject=O = test, OU = devices, CN = lamp-000003"


def test_a_second_run_changes_nothing(batch, common, place, hierarchy, now):
    plan_batch(batch, common, place, hierarchy, now).apply()
    before = snapshot(place.directory)
    plan = plan_batch(batch, common, place, hierarchy, now + timedelta(days=1))
    assert plan.reasons == ()
    plan.apply()
    assert snapshot(place.directory) == before


def test_a_plan_that_is_not_applied_makes_nothing(batch, common, place, hierarchy, now, tmp_path):
    assert plan_batch(batch, common, place, hierarchy, now).changed
    assert not place.directory.exists()
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_run_that_was_cut_after_the_secrets_goes_on_with_the_same_ones(
    batch, common, place, hierarchy, now, tmp_path
):
    plan_batch(batch, common, place, hierarchy, now).apply()
    before = secrets.load(place.directory)
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    (place.directory / "registration.json").unlink()
    plan_batch(batch, common, place, hierarchy, now).apply()
    assert secrets.load(place.directory) == before
    engine = open_ledger(place.ledger)
    with reading(engine) as connection:
        assert [unit.device for unit in list_units(connection, "first")] == list(before.devices)
    engine.dispose()


def test_the_registration_holds_hashes_and_no_secret_and_the_gateway_reads_it(batch, common, place, hierarchy, now):
    plan_batch(batch, common, place, hierarchy, now).apply()
    data = (place.directory / "registration.json").read_bytes()
    known = secrets.load(place.directory).devices
    factory = load_certificate(hierarchy.directory / "factory/ca.crt")
    found = read_registration(data, site="test", gateway="gateway", factory_ca=factory)
    assert [entry.device for entry in found.entries] == list(known)
    assert found.entries[0].token_sha256 == hashlib.sha256(known["lamp-000001"].token.encode()).hexdigest()
    assert known["lamp-000001"].token not in data.decode()
    assert set(json.loads(data)["devices"][2]) == {"device", "certificate"}


def test_secrets_are_readable_by_their_owner_only(batch, common, place, hierarchy, now, tmp_path):
    plan_batch(batch, common, place, hierarchy, now).apply()
    assert (place.directory / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert place.directory.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_batch_that_is_made_cannot_become_another_one(batch, common, place, hierarchy, now):
    plan_batch(batch, common, place, hierarchy, now).apply()
    before = snapshot(place.directory)
    other = replace(batch, units=(*batch.units[:2], Unit("lamp-000003", "device")))
    with pytest.raises(StateError, match="give the new batch another name"):
        plan_batch(other, common, place, hierarchy, now)
    assert snapshot(place.directory) == before


def test_a_changed_wifi_is_named_without_its_passphrase_and_reaches_the_next_boards(
    batch, common, place, hierarchy, now
):
    plan_batch(batch, common, place, hierarchy, now).apply()
    before = secrets.load(place.directory)
    plan = plan_batch(batch, replace(common, wifi_psk="battery staple"), place, hierarchy, now)
    assert plan.reasons == ("what all devices of first get has changed: wifi_psk",)
    assert "battery" not in plan.before + plan.after
    plan.apply()
    assert secrets.load(place.directory) == replace(before, common=replace(common, wifi_psk="battery staple"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wifi_psk": "short"}, "8 to 63 characters"),
        ({"wifi_ssid": "x" * 33}, "1 to 32 bytes"),
        ({"https_port": 70000}, "no port number"),
        ({"gateway": ""}, "host name or an address"),
        ({"bundle": b"x" * 900}, "no trust bundle"),
    ],
)
def test_what_a_device_could_not_use_is_refused_before_anything_is_made(
    batch, common, place, hierarchy, now, change, reason
):
    with pytest.raises(FleetmintError, match=reason) as error:
        plan_batch(batch, replace(common, **change), place, hierarchy, now).apply()
    assert not place.directory.exists()
    if "wifi_psk" in change:
        assert change["wifi_psk"] not in str(error.value)


def test_damaged_secrets_are_told_by_file_name_and_kept(batch, common, place, hierarchy, now):
    plan_batch(batch, common, place, hierarchy, now).apply()
    path = place.directory / "secrets.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StateError, match=r"secrets\.json is damaged"):
        plan_batch(batch, common, place, hierarchy, now)
    assert path.exists()


def test_the_nvs_of_a_device_holds_its_own_secret_only(batch, common, place, hierarchy, now):
    plan_batch(batch, common, place, hierarchy, now).apply()
    known = secrets.load(place.directory)
    first = nvs_entries("lamp-000001", known.devices["lamp-000001"], common, now)["fleetmint"]
    third = nvs_entries("lamp-000003", known.devices["lamp-000003"], common, now)["fleetmint"]
    assert first["device_id"] == b"lamp-000001"
    assert first["token"] == known.devices["lamp-000001"].token.encode()
    assert "key0" not in first
    assert "token" not in third
    assert third["cert0"] == known.devices["lamp-000003"].certificate
    assert first["clock_floor"] == int(now.timestamp()) - 946684800
