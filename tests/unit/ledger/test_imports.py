"""Registering a batch at the gateway."""

import json
from datetime import timedelta

import pytest

from fleetmint.errors import RegistrationRefusedError
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.grants import GrantRefusedError, TokenGrant, find_token
from fleetmint.ledger.imports import Skipped
from fleetmint.ledger.issuance import reserve
from fleetmint.ledger.revocation import revoke
from fleetmint.x509.authority import new_serial, self_signed
from tests.support.gateway_site import certificate_entry, new_key, registration, token_entry


@pytest.fixture
def expires(now):
    return now + timedelta(days=365)


@pytest.fixture
def factory(site):
    return site.hierarchy.authority("factory")


def statuses(site) -> dict[str, str]:
    with site.reading() as connection:
        return {device.device: device.status for device in list_devices(connection)}


def enrol(site, device, entry, now):
    with site.writing() as connection:
        reserve(connection, TokenGrant(device, entry["token_sha256"]), spki_sha256="1" * 64,
                serial=new_serial(), overlap=timedelta(hours=24), now=now)  # fmt: skip


def test_a_batch_of_thousands_is_one_import(site, now, expires):
    entries = [token_entry(f"lamp-{number:06}", str(number), expires) for number in range(3000)]
    assert len(site.import_(registration(entries), now).added) == 3000
    again = site.import_(registration(entries), now)
    assert (again.changed, again.unchanged) == (False, 3000)
    assert site.findings() == ()


def test_a_newer_token_replaces_one_that_was_not_used(site, now, expires):
    old, new = (token_entry("lamp-000001", token, expires) for token in ("old", "new"))
    site.import_(registration([old]), now)
    decision = site.import_(registration([new]), now)
    assert (decision.changed, len(decision.replaced)) == (True, 1)
    with site.reading() as connection:
        assert find_token(connection, "lamp-000001", new["token_sha256"]).state == "unused"
        with pytest.raises(GrantRefusedError, match="replaced"):
            find_token(connection, "lamp-000001", old["token_sha256"])
    assert site.findings() == ()


def test_an_older_document_does_not_bring_its_token_back(site, now, expires):
    old, new = (token_entry("lamp-000001", token, expires) for token in ("old", "new"))
    site.import_(registration([old]), now)
    site.import_(registration([new]), now)
    decision = site.import_(registration([old]), now)
    assert not decision.changed
    assert decision.skipped == (Skipped("lamp-000001", "a newer token has replaced this one"),)


def test_a_used_token_is_not_revived_and_a_new_one_not_taken(site, now, expires):
    used = token_entry("lamp-000001", "used", expires)
    site.import_(registration([used]), now)
    enrol(site, "lamp-000001", used, now)
    assert site.import_(registration([used]), now).unchanged == 1
    decision = site.import_(registration([token_entry("lamp-000001", "new", expires)]), now)
    assert decision.skipped == (Skipped("lamp-000001", "the device has a certificate already"),)
    with site.reading() as connection:
        assert find_token(connection, "lamp-000001", used["token_sha256"]).state == "used"
    assert site.findings() == ()


def test_a_revoked_device_stays_revoked_whatever_is_imported(site, now, expires, factory):
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    entries = [token_entry("lamp-000001", "a", expires), certificate_entry("lamp-000002", leaf)]
    site.import_(registration(entries), now)
    with site.writing() as connection:
        for device in ("lamp-000001", "lamp-000002"):
            revoke(connection, device, reason="unspecified", actor="test", now=now)
    decision = site.import_(registration([*entries[1:], token_entry("lamp-000001", "b", expires)]), now)
    assert not decision.changed
    assert {kept.reason for kept in decision.skipped} == {"the device is revoked"}
    assert set(statuses(site).values()) == {"revoked"}
    assert site.findings() == ()


def test_what_has_ended_already_is_not_added(site, now, factory):
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    entries = [token_entry("lamp-000001", "a", now + timedelta(days=1)), certificate_entry("lamp-000002", leaf)]
    decision = site.import_(registration(entries), now + timedelta(days=500))
    assert [kept.reason for kept in decision.skipped] == ["the token has expired", "the certificate has ended"]
    assert statuses(site) == {}


def test_a_device_changes_neither_its_batch_nor_the_kind_of_its_key(site, now, expires, factory):
    site.import_(registration([token_entry("lamp-000001", "a", expires)]), now)
    with pytest.raises(RegistrationRefusedError, match="batch 'lamps-1' already"):
        site.import_(registration([token_entry("lamp-000001", "a", expires)], batch="lamps-2"), now)
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000001", now=now)
    decision = site.import_(registration([certificate_entry("lamp-000001", leaf)]), now)
    assert decision.skipped == (Skipped("lamp-000001", "the device is registered with a token"),)


def test_the_token_or_key_of_another_device_is_a_contradiction(site, now, expires, factory):
    key = new_key().public_key()
    leaves = [factory.issue("factory-device", key, f"lamp-00000{number}", now=now) for number in (2, 3)]
    entries = [token_entry("lamp-000001", "a", expires), certificate_entry("lamp-000002", leaves[0])]
    site.import_(registration(entries), now)
    for entry in (token_entry("lamp-000009", "a", expires), certificate_entry("lamp-000003", leaves[1])):
        with pytest.raises(RegistrationRefusedError, match="make the batch again"):
            site.import_(registration([entry]), now)
    assert sorted(statuses(site)) == ["lamp-000001", "lamp-000002"]


def test_a_serial_is_given_once(site, now, factory):
    leaves = [factory.issue("factory-device", new_key().public_key(), f"lamp-00000{number}", now=now, serial=7) for number in (1, 2)]  # fmt: skip  # noqa: E501
    site.import_(registration([certificate_entry("lamp-000001", leaves[0])]), now)
    with pytest.raises(RegistrationRefusedError, match="serial 07 already"):
        site.import_(registration([certificate_entry("lamp-000002", leaves[1])]), now)


def test_one_bad_entry_keeps_the_whole_document_out(site, now, expires):
    entries = [token_entry("lamp-000001", "a", expires), token_entry("LAMP", "b", expires)]
    with pytest.raises(RegistrationRefusedError, match="device 2 of the document"):
        site.import_(registration(entries), now)
    assert statuses(site) == {}


def test_certificates_that_are_not_the_factorys_for_this_device_are_refused(site, now, factory):
    key = new_key().public_key()
    stranger = self_signed("test", "stranger", new_key(), now)
    bad = {
        "of another name": (factory.issue("factory-device", key, "lamp-000002", now=now), "not for this device"),
        "of another CA": (stranger.issue("factory-device", key, "lamp-000001", now=now), "not issued by"),
        "of the device CA": (site.device_ca.issue("device", key, "lamp-000001", now=now), "not issued by"),
        "of an operator": (
            site.hierarchy.authority("operator").issue("operator", key, "a@test", now=now),
            "not for this device",
        ),
    }
    for certificate, reason in bad.values():
        with pytest.raises(RegistrationRefusedError, match=reason):
            site.import_(registration([certificate_entry("lamp-000001", certificate)]), now)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token_sha256": "A" * 64}, "64 lower-case hex"),
        ({"token_sha256": 5}, "64 lower-case hex"),
        ({"token_expires": "2027-11-22"}, "UTC time"),
        ({"token_expires": None}, "UTC time"),
        ({"device": None}, "device 1"),
        ({"certificate": "AA=="}, "either token_sha256"),
        ({"extra": 1}, "either token_sha256"),
    ],
)
def test_a_malformed_entry_is_named(site, now, expires, change, reason):
    entry = token_entry("lamp-000001", "a", expires) | change
    with pytest.raises(RegistrationRefusedError, match=reason):
        site.import_(registration([entry]), now)


@pytest.mark.parametrize("text", ["AA==", "!", "", None])
def test_a_certificate_that_cannot_be_read_is_named(site, now, text):
    with pytest.raises(RegistrationRefusedError, match="lamp-000001: the certificate"):
        site.import_(registration([{"device": "lamp-000001", "certificate": text}]), now)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "fleetmint-registration-3"}, "format"),
        ({"site": "other"}, "site"),
        ({"gateway": "other"}, "gateway"),
        ({"batch": "../x"}, "no name of a batch"),
        ({"batch": None}, "no name of a batch"),
        ({"devices": {}}, "no list of devices"),
        ({"devices": [1]}, "device 1"),
    ],
)
def test_a_malformed_document_is_refused(site, now, change, reason):
    with pytest.raises(RegistrationRefusedError, match=reason):
        site.import_(json.dumps(json.loads(registration([])) | change).encode(), now)


def test_a_device_or_token_twice_in_a_document_is_refused(site, now, expires):
    for entries in (
        [token_entry("lamp-000001", "a", expires), token_entry("lamp-000001", "b", expires)],
        [token_entry("lamp-000001", "a", expires), token_entry("lamp-000002", "a", expires)],
    ):
        with pytest.raises(RegistrationRefusedError, match="twice"):
            site.import_(registration(entries), now)
