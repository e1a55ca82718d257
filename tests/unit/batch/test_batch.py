import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.common import Gateway, SiteValues
from fleetmint.batch.create import foresee_batch_file, plan_batch, plan_batch_file
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.networks import Wifi
from fleetmint.batch.settings import from_json
from fleetmint.batch.spec import Extra, Unit
from fleetmint.documents.registration import read_registration
from fleetmint.errors import FleetmintError, SecretError, StateError
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.factory import list_units
from fleetmint.nvs.values import Value
from fleetmint.passphrases import open_source
from fleetmint.x509.authority import load_certificate


def snapshot(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_batch_gives_each_device_what_its_key_origin_asks_for(
    batch, common, location, hierarchy, now, openssl, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    known = secrets.load(location.directory, hierarchy.source).devices
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


def test_what_is_foreseen_without_cas_is_what_is_planned_with_them(hierarchy, now, tmp_path):
    path = tmp_path / "summer.yml"
    path.write_text("prefix: lamp\ndevices: [{count: 2}, {count: 1, key_origin: factory}]\n")
    values = SiteValues({"gateway": Gateway("pi.example", 443, 8883)}, {"default": Wifi("workshop", "correct horse")})
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    planned = plan_batch_file(path, values, tmp_path / "batches", ledger, hierarchy, now)
    foreseen = foresee_batch_file(path, values)
    assert (foreseen.reasons, foreseen.after) == (planned.reasons, planned.after)
    with pytest.raises(StateError, match="not made yet"):
        foreseen.apply()
    path.write_text("prefix: lamp\ndevices: [{count: 2, wifi: nowhere}]\n")
    with pytest.raises(FleetmintError, match="nowhere"):
        foresee_batch_file(path, values)


def test_a_second_run_changes_nothing(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = snapshot(location.directory)
    plan = plan_batch(batch, common, location, hierarchy, now + timedelta(days=1))
    assert plan.reasons == ()
    plan.apply()
    assert snapshot(location.directory) == before


@pytest.mark.parametrize("older", [False, True], ids=["lost", "older"])
def test_a_ledger_that_forgot_identities_is_not_filled_again(batch, common, location, hierarchy, now, tmp_path, older):
    ledger = tmp_path / "ledger.sqlite"
    plan_batch(batch, common, location, hierarchy, now).apply()
    if older:
        copy = ledger.read_bytes()
        batch = replace(batch, units=(*batch.units, Unit("lamp-000099", "device")))
        plan_batch(batch, common, location, hierarchy, now).apply()
        ledger.write_bytes(copy)
    else:
        ledger.unlink()
    before = snapshot(tmp_path)
    with pytest.raises(StateError, match="an older copy, and would give identities out twice"):
        plan_batch(batch, common, location, hierarchy, now)
    assert snapshot(tmp_path) == before


def test_a_plan_that_is_not_applied_makes_nothing(batch, common, location, hierarchy, now, tmp_path):
    assert plan_batch(batch, common, location, hierarchy, now).changed
    assert not location.directory.exists()
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_run_that_was_cut_after_the_secrets_goes_on_with_the_same_ones(
    batch, common, location, hierarchy, now, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = secrets.load(location.directory, hierarchy.source)
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    (location.directory / "registration.json").unlink()
    plan_batch(batch, common, location, hierarchy, now).apply()
    assert secrets.load(location.directory, hierarchy.source) == before
    engine = open_ledger(location.ledger)
    with reading(engine) as connection:
        assert [unit.device for unit in list_units(connection, "first")] == list(before.devices)
    engine.dispose()


def test_the_registration_holds_hashes_and_no_secret_and_the_gateway_reads_it(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    data = (location.directory / "registration.json").read_bytes()
    known = secrets.load(location.directory, hierarchy.source).devices
    factory = load_certificate(hierarchy.directory / "factory/ca.crt")
    found = read_registration(data, site="test", gateway="gateway", factory_cas=[factory])
    assert [entry.device for entry in found.entries] == list(known)
    assert found.entries[0].token_sha256 == hashlib.sha256(known["lamp-000001"].token.encode()).hexdigest()
    assert known["lamp-000001"].token not in data.decode()
    assert set(json.loads(data)["devices"][2]) == {"device", "certificate"}


def test_a_batch_whose_devices_are_approved_from_now_on_is_registered_anew(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    changed = replace(batch, approval="manual")
    plan = plan_batch(changed, common, location, hierarchy, now)
    assert plan.reasons == ("write the registration of first for gateway",)
    plan.apply()
    assert json.loads((location.directory / "registration.json").read_bytes())["approval"] == "manual"
    assert not plan_batch(changed, common, location, hierarchy, now).changed


def test_secrets_are_readable_by_their_owner_only(batch, common, location, hierarchy, now, tmp_path):
    plan_batch(batch, common, location, hierarchy, now).apply()
    assert (location.directory / "secrets.bin").stat().st_mode & 0o777 == 0o600
    assert location.directory.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "units", [[Unit("lamp-000003", "device")], [], [Unit("lamp-000004", "factory")]], ids=["origin", "less", "other"]
)
def test_a_batch_that_is_made_cannot_become_another_one(batch, common, location, hierarchy, now, units):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = snapshot(location.directory)
    other = replace(batch, units=(*batch.units[:2], *units))
    with pytest.raises(StateError, match=r"lamp-000003.*give the new batch another name"):
        plan_batch(other, common, location, hierarchy, now)
    assert snapshot(location.directory) == before


def test_a_batch_that_grows_keeps_what_it_has_and_adds_only_the_new_ones(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = secrets.load(location.directory, hierarchy.source).devices
    start = (location.directory / "secrets.bin").read_bytes()
    more = replace(batch, units=(*batch.units, Unit("lamp-000004", "device"), Unit("lamp-000005", "factory")))
    plan = plan_batch(more, common, location, hierarchy, now)
    assert plan.reasons == (
        "add 2 identities to the batch first",
        "enter 2 devices of first into the ledger",
        "write the registration of first for gateway",
    )
    plan.apply()
    after = secrets.load(location.directory, hierarchy.source).devices
    assert list(after) == [unit.device for unit in more.units]
    assert {device: after[device] for device in before} == before
    assert (location.directory / "secrets.bin").read_bytes().startswith(start)
    factory = load_certificate(hierarchy.directory / "factory/ca.crt")
    data = (location.directory / "registration.json").read_bytes()
    assert len(read_registration(data, site="test", gateway="gateway", factory_cas=[factory]).entries) == 5
    engine = open_ledger(location.ledger)
    with reading(engine) as connection:
        assert [unit.device for unit in list_units(connection, "first")] == list(after)
    engine.dispose()
    assert not plan_batch(more, common, location, hierarchy, now).changed


def test_identities_that_a_cut_run_left_unfinished_are_made_and_finished_ones_stay(
    batch, common, location, hierarchy, now, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = secrets.load(location.directory, hierarchy.source)
    for path in (*tmp_path.glob("ledger.sqlite*"), location.directory / "registration.json"):
        path.unlink()
    path = location.directory / "secrets.bin"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StateError, match="cut short"):
        secrets.load(location.directory, hierarchy.source)
    plan_batch(batch, common, location, hierarchy, now).apply()
    after = secrets.load(location.directory, hierarchy.source)
    assert list(after.devices) == list(before.devices)
    assert not plan_batch(batch, common, location, hierarchy, now).changed


def test_a_changed_wifi_is_named_without_its_passphrase_and_reaches_the_next_boards(
    batch, common, location, hierarchy, now
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    before = secrets.load(location.directory, hierarchy.source)
    changed = replace(common, wifi={"default": Wifi("workshop", "battery staple")})
    plan = plan_batch(batch, changed, location, hierarchy, now)
    assert plan.reasons == ("what devices of first get has changed: Wi-Fi profile default",)
    assert "battery" not in plan.before + plan.after + repr(changed)
    plan.apply()
    after = secrets.load(location.directory, hierarchy.source)
    assert after.devices == before.devices
    assert nvs_entries("lamp-000001", after, now)["fleetmint"]["wifi_psk"] == b"battery staple"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wifi": {"default": Wifi("workshop", "short")}}, "8 to 63 characters"),
        ({"wifi": {"default": Wifi("x" * 33, "long enough")}}, "1 to 32 bytes"),
        ({"wifi": {}}, "no Wi-Fi profile 'default', it has none"),
        ({"https_port": 70000}, "no port number"),
        ({"gateway": ""}, "host name or an address"),
        ({"bundle": b"x" * 900}, "no trust bundle"),
    ],
)
def test_what_a_device_could_not_use_is_refused_before_anything_is_made(
    batch, common, location, hierarchy, now, change, reason
):
    with pytest.raises(FleetmintError, match=reason) as error:
        plan_batch(batch, replace(common, **change), location, hierarchy, now).apply()
    assert not location.directory.exists()
    assert "short" not in str(error.value)


def test_devices_get_the_networks_and_values_that_their_file_names(batch, common, location, hierarchy, now):
    region = Extra("app", "region", Value("string", b"eu"))
    units = (
        batch.units[0],
        replace(batch.units[1], wifi=("warehouse",)),
        replace(
            batch.units[2], values=(Extra("app", "region", Value("string", b"us")), Extra("cal", "x", Value("i8", 3)))
        ),
    )
    described = replace(batch, units=units, values=(region,), product="Lamp", hardware="B")
    site = replace(common, wifi={**common.wifi, "warehouse": Wifi("depot", ""), "unused": Wifi("other", "x" * 8)})
    plan_batch(described, site, location, hierarchy, now).apply()
    assert not plan_batch(described, site, location, hierarchy, now).changed
    known = secrets.load(location.directory, hierarchy.source)
    assert set(known.settings.common.wifi) == {"default", "warehouse"}
    first, second, third = (nvs_entries(unit.device, known, now) for unit in units)
    assert (first["fleetmint"]["wifi_ssid"], second["fleetmint"]["wifi_ssid"]) == (b"workshop", b"depot")
    assert (first["app"]["region"].content, third["app"]["region"].content) == (b"eu", b"us")
    assert third["cal"]["x"] == Value("i8", 3)
    engine = open_ledger(location.ledger)
    with reading(engine) as connection:
        rows = [(unit.product, unit.hardware, unit.serial) for unit in list_units(connection, "first")]
    engine.dispose()
    assert rows == [("Lamp", "B", f"00000{number}") for number in (1, 2, 3)]
    other = replace(described, units=(*units[:2], replace(units[2], values=())), values=())
    assert plan_batch(other, site, location, hierarchy, now).reasons == (
        "what devices of first get has changed: values, wifi or values of 1 devices",
    )


def test_a_device_with_several_networks_gets_them_in_their_order_and_the_first_where_one_is_read(
    batch, common, location, hierarchy, now
):
    described = replace(batch, wifi=("warehouse", "default"), units=batch.units)
    site = replace(common, wifi={**common.wifi, "warehouse": Wifi("d\u00e9p\u00f4t", "")})
    plan_batch(described, site, location, hierarchy, now).apply()
    known = secrets.load(location.directory, hierarchy.source)
    values = nvs_entries("lamp-000001", known, now)["fleetmint"]
    assert (values["wifi_ssid"], values["wifi_psk"]) == ("d\u00e9p\u00f4t".encode(), b"")
    default = common.wifi["default"]
    assert json.loads(values["wifi_list"]) == [["d\u00e9p\u00f4t", ""], [default.ssid, default.psk]]
    assert default.psk not in repr(known.settings)
    assert not plan_batch(described, site, location, hierarchy, now).changed
    turned = replace(described, wifi=("default", "warehouse"))
    assert plan_batch(turned, site, location, hierarchy, now).reasons == (
        "what devices of first get has changed: wifi",
    )


def test_a_batch_of_a_version_with_one_network_is_read(batch, common, location, hierarchy, now):
    described = replace(batch, units=(batch.units[0], replace(batch.units[1], wifi=("warehouse",)), batch.units[2]))
    site = replace(common, wifi={**common.wifi, "warehouse": Wifi("depot", "")})
    plan_batch(described, site, location, hierarchy, now).apply()
    settings = secrets.load(location.directory, hierarchy.source).settings
    content = json.loads(settings.to_json())
    content["wifi"] = "default"
    content["own"]["lamp-000002"][0] = "warehouse"
    assert from_json(json.dumps(content).encode()) == settings
    assert [each.ssid for each in settings.wifi_of("lamp-000002")] == ["depot"]


def test_values_that_do_not_fit_into_the_nvs_are_refused_before_anything_is_made(
    batch, common, location, hierarchy, now
):
    large = Extra("app", "model", Value("blob", bytes(18000)))
    for change in ({"values": (large,)}, {"units": (*batch.units[:2], replace(batch.units[2], values=(large,)))}):
        with pytest.raises(StateError, match=r"lamp-00000. of the batch first cannot be made: .* do not fit"):
            plan_batch(replace(batch, **change), common, location, hierarchy, now)
    assert not location.directory.exists()


def test_lost_secrets_are_told_by_file_name_and_what_is_left_is_kept(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    path = location.directory / "secrets.bin"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StateError, match=r"secrets.bin does not"):
        plan_batch(batch, common, location, hierarchy, now)
    assert path.exists()


def test_nothing_secret_of_a_batch_can_be_read_without_the_passphrase(
    batch, common, location, hierarchy, now, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    known = secrets.load(location.directory, hierarchy.source).devices.values()
    canaries = [secret.token.encode() for secret in known if secret.token]
    canaries += [secret.key for secret in known if secret.key]
    canaries += [base64.b64encode(secret.key)[:40] for secret in known if secret.key]
    canaries.append(common.wifi["default"].psk.encode())
    for path, content in snapshot(tmp_path).items():
        assert [canary for canary in canaries if canary in content] == [], path
    (tmp_path / "passphrases/bench").write_bytes(b"another-passphrase-of-the-right-length")
    with pytest.raises(SecretError, match=r"does not open .*first/batch\.key"):
        secrets.load(location.directory, open_source(f"file:{tmp_path / 'passphrases'}"))


def test_a_lost_bench_passphrase_is_not_made_again(batch, common, location, hierarchy, now, tmp_path):
    plan_batch(batch, common, location, hierarchy, now).apply()
    (tmp_path / "passphrases/bench").unlink()
    second = replace(batch, name="second", units=(Unit("lamp-000010", "device"),))
    other = replace(location, directory=tmp_path / "batches/second")
    with pytest.raises(SecretError, match="'bench' is missing"):
        plan_batch(second, common, other, hierarchy, now).apply()
    assert not (tmp_path / "passphrases/bench").exists()


def test_a_device_that_belongs_to_another_batch_is_refused_before_anything_is_made(
    batch, common, location, hierarchy, now, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    second = replace(batch, name="second")
    with pytest.raises(StateError, match="lamp-000001 belongs to the batch 'first' already"):
        plan_batch(second, common, replace(location, directory=tmp_path / "batches/second"), hierarchy, now)
    assert not (tmp_path / "batches/second").exists()


def test_the_nvs_of_a_device_holds_its_own_secret_only(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    known = secrets.load(location.directory, hierarchy.source)
    first = nvs_entries("lamp-000001", known, now)["fleetmint"]
    third = nvs_entries("lamp-000003", known, now)["fleetmint"]
    assert first["device_id"] == b"lamp-000001"
    assert first["token"] == known.devices["lamp-000001"].token.encode()
    assert "key0" not in first
    assert "token" not in third
    assert third["cert0"] == known.devices["lamp-000003"].certificate
    assert first["clock_floor"] == int(now.timestamp()) - 946684800
