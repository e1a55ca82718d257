"""Whatever is wrong with the state of the CAs: the commands say it in one sentence, and the state is as before."""

import json
import shutil
from datetime import timedelta

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.x509 import keys

# Each signs with the operator CA, one of them for a new name.
COMMANDS = (("operator", "add", "new@test"), ("operator", "replace", "alice@test"), ("revoke", "alice@test"))


@pytest.fixture(params=COMMANDS, ids=" ".join)
def told(request, fleetmint, refused, state, snapshot):
    """Check that a command that signs is refused with these words, and that nothing has changed."""

    def told(*words):
        before = snapshot(state)
        refused(fleetmint(*request.param), *words)
        assert snapshot(state) == before

    return told


@pytest.fixture
def operator(hierarchy):
    return hierarchy.directory / "operator"


def other_site(hierarchy, tmp_path, name, now):
    """A site with the same passphrases, in a directory beside the state."""
    other = Hierarchy(tmp_path.parent / f"{tmp_path.name}-other" / name, name, hierarchy.source)
    plan_hierarchy(other, ["gateway"], now).apply()
    return other


def test_a_wrong_passphrase(told, hierarchy):
    (hierarchy.source.directory / "issuing").write_bytes(b"W" * 32)
    told("the passphrase does not open", "operator/ca.key", "give the one it was made with")


def test_a_passphrase_that_is_missing(told, hierarchy):
    (hierarchy.source.directory / "issuing").unlink()
    told("issuing", "restore")


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key(told, operator, content):
    (operator / "ca.key").write_bytes(content)
    told("operator/ca.key", "restore")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_certificate_of_the_ca(told, operator, content):
    (operator / "ca.crt").write_bytes(content)
    told("operator/ca.crt", "restore it from the backup of the CA")


def test_a_damaged_crl(fleetmint, refused, state, operator, snapshot):
    (operator / "crl.pem").write_bytes(b"garbage")
    before = snapshot(state)
    for command in (*COMMANDS[1:], ("operator", "add", "alice@test")):
        refused(fleetmint(*command), "operator/crl.pem is no CRL", "restore it from a backup")
    assert snapshot(state) == before


def test_a_key_that_does_not_match(told, operator, hierarchy):
    (operator / "ca.key").write_bytes(keys.sealed_pem(keys.new_key(), hierarchy.source.read("issuing")))
    told("operator/ca.key does not belong to", "restore both from one backup")


def test_an_issuing_ca_of_another_site(told, operator, hierarchy, tmp_path, now):
    other = other_site(hierarchy, tmp_path, "other", now)
    shutil.rmtree(operator)
    shutil.copytree(other.directory / "operator", operator)
    told("'other'", "'test'")


def test_a_clock_before_the_root_was_made(told, state, hierarchy, tmp_path, now):
    later = other_site(hierarchy, tmp_path, "test", now + timedelta(days=2))
    site = json.loads((state / "site.json").read_text())
    site["ca"]["directory"] = str(later.directory)
    (state / "site.json").write_text(json.dumps(site))
    told("the clock says", "set the clock of this machine")


def test_a_full_disk(fleetmint, refused, state, snapshot, full_disk):
    for command in COMMANDS:
        before = snapshot(state)
        with full_disk(100):
            result = fleetmint(*command)
        refused(result, "cannot write")
        assert snapshot(state) == before
        assert fleetmint("operator", "list").exit_code == 0


@pytest.mark.parametrize(
    "name", ["Alice@test", "alice", "alice@test\n", "../alice@test", "a" * 40 + "@test", "ålice@test"]
)
def test_names_outside_the_grammar(fleetmint, refused, state, snapshot, name):
    before = snapshot(state)
    for verb in ("add", "replace", "revoke"):
        refused(fleetmint("operator", verb, name), "is no operator name: it has to be name@place in lower case")
    assert snapshot(state) == before
