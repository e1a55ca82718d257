"""Operators over their whole life on the controller."""

from datetime import timedelta

import pytest

from fleetmint.ca.identifier import OPERATOR
from fleetmint.ca.leaves import OPERATOR_PROFILES, plan_client, revoked
from fleetmint.ca.operators import find_client, list_clients, plan_replacement, plan_revoked_client
from fleetmint.errors import SecretError, StateError
from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.profiles import PROFILES


@pytest.fixture
def directory(hierarchy, tmp_path, now):
    place = tmp_path / "issued/operators"
    for name in ("alice@test", "bob@test"):
        plan_client(hierarchy, "operator", name, place, now).apply()
    return place


def serial(directory, name="alice@test"):
    return load_certificate(directory / f"{name}.crt").serial_number


def revoke(hierarchy, directory, now, name="alice@test"):
    plan = plan_revoked_client(hierarchy, find_client(hierarchy, directory, name, now), "unspecified", now)
    plan.apply()
    return plan


def test_every_profile_of_the_operator_ca_makes_a_client(hierarchy, tmp_path, now):
    assert tuple(name for name, each in PROFILES.items() if each.issuer == "operator-ca") == OPERATOR_PROFILES
    for profile in OPERATOR_PROFILES:
        plan_client(hierarchy, profile, f"{profile}@test", tmp_path, now).apply()
    assert [client.status for client in list_clients(hierarchy, tmp_path, now)] == ["valid"] * 4


def test_revoking_puts_it_on_the_crl_and_deletes_every_copy_of_the_key(hierarchy, directory, now):
    (directory / "alice@test.p12").write_bytes(b"key inside")
    plan = revoke(hierarchy, directory, now)
    assert plan.reasons == (f"revoke {serial(directory):x}", "delete alice@test.key", "delete alice@test.p12")
    assert revoked(hierarchy, OPERATOR, serial(directory)) is not None
    assert sorted(path.name for path in directory.iterdir()) == ["alice@test.crt", "bob@test.crt", "bob@test.key"]
    assert revoked(hierarchy, OPERATOR, serial(directory, "bob@test")) is None


def test_revoking_twice_changes_nothing_and_a_run_that_was_cut_is_finished(hierarchy, directory, now):
    key = (directory / "alice@test.key").read_bytes()
    revoke(hierarchy, directory, now)
    crl = (hierarchy.directory / "operator/crl.pem").read_bytes()
    assert not revoke(hierarchy, directory, now).changed
    (directory / "alice@test.key").write_bytes(key)
    assert revoke(hierarchy, directory, now).reasons == ("delete alice@test.key",)
    assert (hierarchy.directory / "operator/crl.pem").read_bytes() == crl


def test_a_playbook_does_not_revive_a_revoked_operator(hierarchy, directory, now):
    revoke(hierarchy, directory, now)
    plan = plan_client(hierarchy, "operator", "alice@test", directory, now)
    assert not plan.changed
    assert "fleetmint operator replace alice@test" in plan.expected.warnings[0]
    plan.apply()
    assert not (directory / "alice@test.key").exists()


def test_a_replacement_has_another_key_and_the_old_certificate_is_revoked_and_kept(hierarchy, directory, now):
    old = serial(directory)
    before = (directory / "alice@test.key").read_bytes()
    plan_replacement(hierarchy, "operator", "alice@test", directory, "key_compromise", now).apply()
    assert (directory / "alice@test.key").read_bytes() != before
    key = keys.load_key((directory / "alice@test.key").read_bytes(), None, "key")
    certificate = load_certificate(directory / "alice@test.crt")
    assert certificate.public_key().public_numbers() == key.public_key().public_numbers()
    entry = revoked(hierarchy, OPERATOR, old)
    assert entry is not None
    assert entry.reason == "key_compromise"
    assert revoked(hierarchy, OPERATOR, certificate.serial_number) is None
    assert [(client.name, client.status) for client in list_clients(hierarchy, directory, now)] == [
        ("alice@test", "valid"),
        ("alice@test", "revoked"),
        ("bob@test", "valid"),
    ]


def test_a_revoked_operator_can_be_given_a_new_key(hierarchy, directory, now):
    revoke(hierarchy, directory, now)
    plan_replacement(hierarchy, "operator", "alice@test", directory, "unspecified", now).apply()
    assert find_client(hierarchy, directory, "alice@test", now).status == "valid"


def test_a_renewed_certificate_is_revoked_together_with_the_one_before(hierarchy, directory, now):
    """Both are good for whoever has the key, which is the same."""
    old, later = serial(directory), now + timedelta(days=320)
    plan_client(hierarchy, "operator", "alice@test", directory, later).apply()
    new = serial(directory)
    assert new != old
    assert [client.in_use for client in list_clients(hierarchy, directory, later)] == [True, False, True]
    client = find_client(hierarchy, directory, "alice@test", later)
    plan_revoked_client(hierarchy, client, "unspecified", later).apply()
    assert all(revoked(hierarchy, OPERATOR, number) for number in (old, new))
    assert not plan_revoked_client(hierarchy, client, "unspecified", later).changed


def test_what_one_version_before_put_aside_is_revoked_too(hierarchy, directory, now):
    old, later = serial(directory), now + timedelta(days=320)
    plan_client(hierarchy, "operator", "alice@test", directory, later).apply()
    (directory / "superseded").rename(directory / "earlier")
    clients = list_clients(hierarchy, directory, later)
    assert [(client.name, client.in_use) for client in clients][:2] == [("alice@test", True), ("alice@test", False)]
    plan_revoked_client(hierarchy, clients[0], "unspecified", later).apply()
    assert revoked(hierarchy, OPERATOR, old)


def test_a_renewal_that_cannot_sign_leaves_everything_as_it_was(hierarchy, directory, now):
    (hierarchy.source.directory / "issuing").write_bytes(b"A" * 32)
    before = {path: path.read_bytes() for path in directory.rglob("*")}
    with pytest.raises(SecretError, match="does not open"):
        plan_client(hierarchy, "operator", "alice@test", directory, now + timedelta(days=320)).apply()
    assert {path: path.read_bytes() for path in directory.rglob("*")} == before


def test_nobody_is_replaced_who_is_not_there(hierarchy, directory, now):
    with pytest.raises(StateError, match="no operator carol@test"):
        plan_replacement(hierarchy, "operator", "carol@test", directory, "unspecified", now)
    assert not (directory / "carol@test.key").exists()


def test_a_replacement_that_cannot_sign_leaves_everything_as_it_was(hierarchy, directory, now):
    (hierarchy.source.directory / "issuing").write_bytes(b"A" * 32)
    before = {path: path.read_bytes() for path in directory.rglob("*")}
    crl = (hierarchy.directory / "operator/crl.pem").read_bytes()
    with pytest.raises(SecretError, match="does not open"):
        plan_replacement(hierarchy, "operator", "alice@test", directory, "unspecified", now).apply()
    assert {path: path.read_bytes() for path in directory.rglob("*")} == before
    assert (hierarchy.directory / "operator/crl.pem").read_bytes() == crl
