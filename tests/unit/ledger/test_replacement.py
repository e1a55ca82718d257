"""Another token for a device that is known."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from fleetmint.errors import RegistrationRefusedError, StateError
from fleetmint.ledger import open_ledger
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.grants import GrantRefusedError
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.ledger.revocation import revoke, revoked_certificates
from fleetmint.ledger.succession import confirm
from fleetmint.service.body import Enrolment
from fleetmint.service.enrolment import enrol
from tests.support.gateway_site import certificate_entry, issuing, make_csr, new_key, registration, token_entry


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def add(site, now):
    def run(device, token, lasts=timedelta(days=30)):
        with site.writing() as connection:
            wanted = NewToken(device, digest(token), now + lasts)
            return add_token(connection, wanted, actor="bench@test", now=now)

    return run


@pytest.fixture
def enrol_with(site, now):
    engine = open_ledger(site.config.ledger)

    def run(device, token, key):
        return enrol(issuing(engine, site.device_ca, now), Enrolment(device, digest(token), make_csr(key)))

    yield run
    engine.dispose()


def test_a_new_token_makes_the_unused_one_void(site, now, add, enrol_with):
    old = site.register(now, "lamp-000001")["lamp-000001"]
    assert add("lamp-000001", "new")
    assert not add("lamp-000001", "new")
    with pytest.raises(GrantRefusedError, match="replaced by a newer one"):
        enrol_with("lamp-000001", old, new_key())
    assert enrol_with("lamp-000001", "new", new_key()).status == "active"
    assert site.findings() == ()


def test_a_device_with_a_certificate_keeps_it_until_that_of_the_new_token_is_used(site, now, add, enrol_with):
    key, token = new_key(), site.register(now, "lamp-000001")["lamp-000001"]
    first = enrol_with("lamp-000001", token, key)
    add("lamp-000001", "new")
    assert enrol_with("lamp-000001", token, key) == first
    second = enrol_with("lamp-000001", "new", new_key())
    with site.reading() as connection:
        assert [each.serial for each in list_devices(connection)] == [first.serial]
        assert revoked_certificates(connection, "device", now=now) == ()
    assert site.findings() == ()
    with site.writing() as connection:
        confirm(connection, second.serial, overlap=timedelta(hours=24), now=now)
    with site.reading() as connection:
        assert [each.serial for each in list_devices(connection)] == [second.serial]
        assert revoked_certificates(connection, "device", now=now + timedelta(hours=23)) == ()
        revoked = revoked_certificates(connection, "device", now=now + timedelta(hours=24))
    assert [(each.serial, each.reason) for each in revoked] == [(first.serial, "superseded")]
    with pytest.raises(GrantRefusedError, match="in use already"):
        enrol_with("lamp-000001", token, key)
    assert site.findings() == ()


def test_a_device_that_changes_its_owner_is_locked_out_until_it_has_a_new_key(site, now, enrol_with):
    key, token = new_key(), site.register(now, "lamp-000001")["lamp-000001"]
    first = enrol_with("lamp-000001", token, key)
    wanted = NewToken("lamp-000001", digest("new"), now + timedelta(days=9), "Bob, Berlin")
    with site.writing() as connection:
        assert add_token(connection, wanted, actor="bench@test", now=now)
    with site.reading() as connection:
        assert [each.reason for each in revoked_certificates(connection, "device", now=now)] == ["affiliation_changed"]
        assert [each.status for each in list_devices(connection)] == ["registered"]
    assert site.findings() == ()
    with pytest.raises(GrantRefusedError, match="revoked"):
        enrol_with("lamp-000001", token, key)
    assert enrol_with("lamp-000001", "new", new_key()).serial != first.serial
    assert site.findings() == ()
    for owner in ("", "x" * 101, "a\nb"):
        with site.writing() as connection, pytest.raises(RegistrationRefusedError, match="an owner is"):
            add_token(connection, replace(wanted, token_sha256="b" * 64, owner=owner), actor="x", now=now)


def test_a_device_with_a_key_of_the_factory_moves_to_the_device_ca(site, now, add, enrol_with):
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    site.import_(registration([certificate_entry("lamp-000002", leaf)]), now)
    add("lamp-000002", "new")
    issued = enrol_with("lamp-000002", "new", new_key())
    assert issued.issuer == "device"
    with site.writing() as connection:
        confirm(connection, issued.serial, overlap=timedelta(0), now=now)
    with site.reading() as connection:
        assert [each.serial for each in revoked_certificates(connection, "factory", now=now)] == [leaf.serial_number]
    assert site.findings() == ()


def test_an_older_registration_brings_no_older_token_back(site, now, add):
    old = registration([token_entry("lamp-000001", "old", now + timedelta(days=365))])
    site.import_(old, now)
    add("lamp-000001", "new")
    decision = site.import_(old, now)
    assert not decision.changed
    assert decision.skipped[0].reason == "a newer token has replaced this one"


def test_the_revoked_the_unknown_and_the_wrong_are_refused(site, now, add):
    site.register(now, "lamp-000001", "lamp-000002")
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    with pytest.raises(StateError, match=r"lamp-000001 is revoked, which is for ever"):
        add("lamp-000001", "new")
    with pytest.raises(StateError, match="no device 'lamp-000009'"):
        add("lamp-000009", "new")
    for lasts in (timedelta(0), timedelta(days=-1), timedelta(days=4000)):
        with pytest.raises(RegistrationRefusedError, match="a token may last until"):
            add("lamp-000002", "new", lasts)
    with site.writing() as connection, pytest.raises(RegistrationRefusedError, match="64 lower-case hex"):
        add_token(connection, NewToken("lamp-000002", "A" * 64, now + timedelta(1)), actor="x", now=now)
    add("lamp-000002", "a")
    add("lamp-000002", "b")
    with pytest.raises(RegistrationRefusedError, match="given out before"):
        add("lamp-000002", "a")
    assert site.findings() == ()
