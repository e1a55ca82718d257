"""A gateway's backup, and an older ledger that a gateway goes on with."""

import io
import re
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.errors import ClockError, LedgerError, StateError
from fleetmint.gateway.backup import make_backup
from fleetmint.gateway.config import load_config
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.restore import Restored, plan_restore
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.devices import find_certificate, list_devices
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.ledger.head import read_head
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import VERSION
from fleetmint.ledger.succession import confirm
from fleetmint.service.body import Recovery
from fleetmint.service.enrolment import enrol, recover, renew
from fleetmint.x509 import keys, revocation
from tests.support.gateway_site import (
    certificate_entry,
    enrolment,
    issuing,
    make_csr,
    make_gateway_site,
    new_key,
    registration,
)

HOUR = timedelta(hours=1)
DUMPS = Path(__file__).parents[1] / "ledger" / "dumps"
EARLIER = sorted(path.name.partition(".")[0] for path in DUMPS.glob("*.sqlite.sql"))


@pytest.fixture
def fleet(site, engine, now):
    """Two enrolled devices and one that is only registered; the first CRL is signed. Returns token, key and serial."""
    tokens = site.register(now, "lamp-000001", "lamp-000002", "lamp-000003")
    made = {}
    for device, token in tokens.items():
        key = new_key()
        serial = enrolled(engine, site, device, token, key, now).serial if device != "lamp-000003" else None
        made[device] = (token, key, serial)
    sign(site, engine, now)
    return made


@pytest.fixture
def new_pi(tmp_path, site):
    """Another gateway of the same name with the same CAs and nothing in it: no ledger, no list."""
    root = tmp_path / "new"
    pi = make_gateway_site(root, Path(site.hierarchy.directory).parents[1])
    for path in root.glob("ledger.sqlite*"):
        path.unlink()
    shutil.rmtree(root / "crl", ignore_errors=True)
    return pi


def enrolled(engine, site, device, token, key, now):
    request = enrolment(device, token, key)
    return enrol(issuing(engine, site.device_ca, now), request)


def sign(site, engine, now, **options):
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now, **options).apply()
    return crl_of(site)


def crl_of(site):
    return revocation.load_crl(site.config.device_crl.read_bytes(), "CRL")


def revoked_on(crl) -> set[int]:
    return {entry.serial_number for entry in crl}


def take_off(site, engine, device, now):
    with site.writing() as connection:
        revoke(connection, device, reason="key_compromise", actor="test", now=now)
    return sign(site, engine, now)


def status(site):
    with site.reading() as connection:
        return {device.device: device.status for device in list_devices(connection)}


def restore(pi, backup, now, **options):
    plan = plan_restore(pi.config, [pi.device_ca], backup, now, **options)
    plan.apply()
    return plan


def test_a_backup_of_a_running_service_is_a_whole_ledger_and_holds_no_key(site, fleet):
    backup = make_backup(site.config)
    assert b"PRIVATE KEY" not in backup
    for token, key, _ in fleet.values():
        assert token.encode() not in backup
        assert keys.plain_pem(key) not in backup
    assert backup.count(b"X509 CRL") == 2


def test_a_new_pi_goes_on_where_the_old_one_ended(site, engine, fleet, new_pi, now):
    before = crl_of(site)
    plan = restore(new_pi, make_backup(site.config), now + HOUR, keep_tokens=True)
    assert plan.expected == Restored(devices=3, revoked=(), void=0, crl=1)
    assert status(new_pi) == {"lamp-000001": "active", "lamp-000002": "active", "lamp-000003": "registered"}
    assert new_pi.findings() == ()
    with new_pi.reading() as connection:
        assert find_certificate(connection, fleet["lamp-000001"][2]).device == "lamp-000001"
    assert revocation.crl_number(crl_of(new_pi)) > revocation.crl_number(before)
    ledger = open_ledger(new_pi.config.ledger)
    token, key, _ = fleet["lamp-000003"]
    assert enrolled(ledger, new_pi, "lamp-000003", token, key, now + HOUR).device == "lamp-000003"
    token, key, serial = fleet["lamp-000001"]
    assert enrolled(ledger, new_pi, "lamp-000001", token, key, now + HOUR).serial == serial


def test_who_was_revoked_after_the_backup_stays_revoked(site, engine, fleet, new_pi, now):
    backup = make_backup(site.config)
    live = take_off(site, engine, "lamp-000002", now + HOUR)
    plan = restore(new_pi, backup, now + 2 * HOUR, crls={"device.crl": revocation.crl_pem(live)})
    assert plan.expected.revoked == ("lamp-000002",)
    assert status(new_pi)["lamp-000002"] == "revoked"
    assert revoked_on(crl_of(new_pi)) == {fleet["lamp-000002"][2]}
    assert revocation.crl_number(crl_of(new_pi)) > revocation.crl_number(live)
    assert new_pi.findings() == ()


def test_who_renewed_after_the_backup_recovers_with_the_certificate_before(site, engine, fleet, new_pi, now):
    backup = make_backup(site.config)
    _, key, serial = fleet["lamp-000001"]
    with reading(engine) as connection:
        shown = find_certificate(connection, serial)
    renewed = renew(issuing(engine, site.device_ca, now), shown, make_csr(new_key()), source="")
    with site.writing() as connection:
        confirm(connection, renewed.serial, overlap=HOUR, now=now)
    live = sign(site, engine, now + HOUR)
    assert revoked_on(live) == {serial}
    plan = restore(new_pi, backup, now + 2 * HOUR, crls={"device.crl": revocation.crl_pem(live)})
    assert plan.expected.revoked == ()
    assert revoked_on(crl_of(new_pi)) == {serial}
    ledger = open_ledger(new_pi.config.ledger)
    asked = Recovery(shown.der, make_csr(key))
    at = issuing(ledger, new_pi.device_ca, now + 2 * HOUR)
    assert recover(at, asked, grace=HOUR, source="").device == "lamp-000001"
    assert new_pi.findings() == ()


def test_whom_the_factory_ca_revoked_after_the_backup_is_revoked(site, fleet, new_pi, now):
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000007", now=now)
    site.import_(registration([certificate_entry("lamp-000007", leaf)], batch="lamps-3"), now)
    backup = make_backup(site.config)
    plan_authority_crl(new_pi.hierarchy, "factory", [leaf.serial_number], now, "key_compromise").apply()
    new_pi.config.crl("factory").write_bytes((new_pi.hierarchy.directory / "factory/crl.pem").read_bytes())
    assert restore(new_pi, backup, now + HOUR).expected.revoked == ("lamp-000007",)
    assert status(new_pi)["lamp-000007"] == "revoked"


def test_what_the_older_ledger_never_heard_of_stays_on_the_list(site, engine, fleet, new_pi, now):
    backup = make_backup(site.config)
    token = site.register(now, "lamp-000009", batch="lamps-2")["lamp-000009"]
    serial = enrolled(engine, site, "lamp-000009", token, new_key(), now).serial
    live = take_off(site, engine, "lamp-000009", now + HOUR)
    restore(new_pi, backup, now + 2 * HOUR, crls={"device.crl": revocation.crl_pem(live)})
    assert "lamp-000009" not in status(new_pi)
    assert revoked_on(crl_of(new_pi)) == {serial}


def test_tokens_that_were_unused_then_are_void(site, engine, fleet, new_pi, now):
    backup = make_backup(site.config)
    plan = restore(new_pi, backup, now + HOUR)
    assert plan.expected.void == 1
    ledger = open_ledger(new_pi.config.ledger)
    token, _, _ = fleet["lamp-000003"]
    with pytest.raises(GrantRefusedError, match="expired"):
        enrolled(ledger, new_pi, "lamp-000003", token, new_key(), now + HOUR)
    assert new_pi.findings() == ()
    new_pi.register(now + HOUR, "lamp-000003")


@pytest.mark.parametrize("kept", [True, False])
def test_without_any_newer_list_the_numbers_leave_a_gap(site, engine, fleet, new_pi, now, kept):
    if not kept:
        site.config.device_crl.unlink()
    restore(new_pi, make_backup(site.config), now + HOUR)
    assert revocation.crl_number(crl_of(new_pi)) > 1000


def test_the_ledger_that_is_replaced_is_kept(site, engine, fleet, now):
    backup = make_backup(site.config)
    live = take_off(site, engine, "lamp-000001", now + HOUR)
    with pytest.raises(StateError, match=r"goes on with its own ledger.*--replace"):
        plan_restore(site.config, [site.device_ca], backup, now + HOUR)
    engine.dispose()
    restore(site, backup, now + 2 * HOUR, replace=True)
    assert status(site)["lamp-000001"] == "revoked"
    assert revocation.crl_number(crl_of(site)) > revocation.crl_number(live)
    (kept,) = site.root.glob("ledger.sqlite.before-*")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT status FROM devices WHERE device='lamp-000001'").fetchone() == ("revoked",)


def test_a_damaged_ledger_is_replaced(site, engine, fleet, now):
    backup = make_backup(site.config)
    engine.dispose()
    ledger = site.root / "ledger.sqlite"
    ledger.write_bytes(b"not a database" * 1000)
    restore(site, backup, now + HOUR, replace=True)
    assert len(status(site)) == 3


def test_a_ledger_that_is_in_use_is_not_replaced(site, engine, fleet, now):
    backup = make_backup(site.config)
    with engine.connect(), pytest.raises(LedgerError, match=r"is in use: stop .*systemctl stop fleetmint\.service"):
        restore(site, backup, now + HOUR, replace=True)
    assert not list(site.root.glob("ledger.sqlite.before-*"))
    assert status(site)["lamp-000001"] == "active"


@pytest.mark.parametrize("damage", [b"", b"garbage", "cut", "bit", "empty ledger"])
def test_what_is_no_whole_backup_is_refused_and_changes_nothing(site, fleet, new_pi, now, snapshot, damage):
    backup = make_backup(site.config)
    if damage == "cut":
        backup = backup[: len(backup) // 2]
    elif damage == "bit":
        at = backup.index(b"lamp-000002")
        backup = backup[:at] + b"lamp-000009" + backup[at + 11 :]
    elif damage == "empty ledger":
        backup = backup[:512] + bytes(len(backup) - 512)
    else:
        backup = damage
    before = snapshot(new_pi.root)
    with pytest.raises((StateError, LedgerError), match=r"(bring|restore)"):
        restore(new_pi, backup, now + HOUR)
    assert snapshot(new_pi.root) == before


def with_ledger(backup: bytes, directory: Path, change: str) -> bytes:
    """The backup with another ledger in it: as `change` leaves a dump of an earlier version, or the one that it has."""
    path = directory / "changed.sqlite"
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}
    if change in EARLIER:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((DUMPS / f"{change}.sqlite.sql").read_text())
            connection.execute("update settings set value = 'test' where name = 'site'")
            connection.execute("update settings set value = 'gateway' where name = 'owner'")
            connection.commit()
    else:
        path.write_bytes(members["ledger.sqlite"])
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(change)
            connection.commit()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        members.pop("head.json")  # which no earlier version writes
        for name, data in {**members, "ledger.sqlite": path.read_bytes()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("version", EARLIER)
def test_a_backup_of_an_earlier_version_is_brought_up_to_date(site, fleet, new_pi, now, tmp_path, version):
    backup = with_ledger(make_backup(site.config), tmp_path, version)
    plan = restore(new_pi, backup, now + HOUR)
    assert f"bring it from version {version} to {VERSION}" in plan.reasons
    assert plan.expected.devices == 3
    assert status(new_pi) == {"lamp-000001": "active", "lamp-000002": "revoked", "lamp-000005": "registered"}
    assert new_pi.findings() == ()
    assert not list(new_pi.root.glob("*.version-*"))  # the backup is the copy


def test_a_backup_of_a_newer_version_is_refused_with_the_versions_and_what_to_do(
    site, fleet, new_pi, now, tmp_path, snapshot
):
    newer = with_ledger(make_backup(site.config), tmp_path, "update alembic_version set version_num = '0917'")
    before = snapshot(new_pi.root)
    with pytest.raises(LedgerError) as caught:
        restore(new_pi, newer, now + HOUR)
    assert re.search(rf"in the backup is of version 0917.*up to {VERSION}: .*gateway\.yml", str(caught.value))
    assert snapshot(new_pi.root) == before


def test_a_backup_whose_events_are_not_those_of_its_head_is_refused(site, engine, fleet, new_pi, now, snapshot):
    with reading(engine) as connection:
        digest = read_head(connection).digest.encode()
    backup, before = make_backup(site.config), snapshot(new_pi.root)
    changed = backup.replace(b'"digest": "' + digest, b'"digest": "' + digest[::-1])
    assert changed != backup
    with pytest.raises(StateError, match="somebody has changed the backup; bring another one"):
        restore(new_pi, changed, now + HOUR)
    assert snapshot(new_pi.root) == before


def test_a_backup_of_another_gateway_is_refused(site, fleet, new_pi, now):
    backup = make_backup(site.config)
    text = new_pi.config_path.read_text().replace('gateway = "gateway"', 'gateway = "second"')
    new_pi.config_path.write_text(text)
    with pytest.raises(StateError, match="the backup has owner 'gateway', and this gateway is 'second'"):
        plan_restore(load_config(new_pi.config_path), [new_pi.device_ca], backup, now)


def test_a_list_of_another_ca_is_refused(site, fleet, new_pi, now):
    backup = make_backup(site.config)
    factory = revocation.build_crl(
        site.hierarchy.authority("factory"), [], number=9, now=now, lifetime=timedelta(days=7)
    )
    with pytest.raises(StateError, match="the CRL in x is not signed by the device CA of this gateway"):
        plan_restore(new_pi.config, [new_pi.device_ca], backup, now, crls={"x": revocation.crl_pem(factory)})


def test_a_clock_before_the_last_event_restores_nothing(site, fleet, new_pi, now, snapshot):
    backup = make_backup(site.config)
    before = snapshot(new_pi.root)
    with pytest.raises(ClockError, match="set it, or wait for NTP"):
        restore(new_pi, backup, now - timedelta(seconds=1))
    assert snapshot(new_pi.root) == before


def test_a_full_disk_restores_nothing(site, fleet, new_pi, now, full_disk):
    backup = make_backup(site.config)
    with full_disk(3000), pytest.raises(StateError, match="cannot write"):
        restore(new_pi, backup, now + HOUR)
    assert not (new_pi.root / "ledger.sqlite").exists()
    restore(new_pi, backup, now + HOUR)


def test_a_database_server_has_its_own_tools(site, fleet):
    with pytest.raises(StateError, match="pg_dump"):
        make_backup(replace(site.config, ledger="postgresql+psycopg2://fleetmint@db/fleetmint"))


def test_a_list_without_a_number_does_not_keep_a_ledger_from_coming_back_and_what_it_revokes_stays_so(
    site, engine, fleet, new_pi, now
):
    backup = make_backup(site.config)
    take_off(site, engine, "lamp-000002", now + HOUR)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(site.device_ca.certificate.subject)
        .last_update(now)
        .next_update(now + 100 * HOUR)
    )
    for entry in crl_of(site):
        builder = builder.add_revoked_certificate(entry)
    unnumbered = revocation.crl_pem(builder.sign(site.device_ca.key, hashes.SHA256()))
    plan = restore(new_pi, backup, now + 2 * HOUR, crls={"device.crl": unnumbered})
    assert plan.expected.revoked == ("lamp-000002",)
    assert revoked_on(crl_of(new_pi)) == {fleet["lamp-000002"][2]}
    assert revocation.usable_number(crl_of(new_pi)) > 0
