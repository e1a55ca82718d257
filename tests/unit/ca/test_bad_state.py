"""What is wrong with the state of the CAs is said in a sentence, and the state stays as it was."""

import shutil
from datetime import timedelta

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import plan_client
from fleetmint.errors import ClockError, FleetmintError, NameRefusedError, SecretError, StateError
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate, pem


@pytest.fixture
def refused(hierarchy, now, snapshot):
    """Add a gateway, which opens keys and writes; check that it is refused, why, and that nothing changed."""

    def refused(kind, why, *, at=now, site=hierarchy, gateways=("gateway", "second")):
        before = snapshot(hierarchy.directory.parent)
        with pytest.raises(kind, match=why):
            plan_hierarchy(site, list(gateways), at).apply()
        assert snapshot(hierarchy.directory.parent) == before

    return refused


@pytest.mark.parametrize("name", ["root", "issuing"])
def test_a_wrong_passphrase(hierarchy, refused, name):
    (hierarchy.source.directory / name).write_bytes(b"W" * 32)
    refused(SecretError, r"the passphrase does not open .*ca\.key: give the one it was made with")


@pytest.mark.parametrize("name", ["root", "issuing"])
def test_a_passphrase_that_was_cut(hierarchy, refused, name):
    (hierarchy.source.directory / name).write_bytes(b"W")
    refused(SecretError, f"{name} is too short to be the one that was made")


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", bytes(300)])
def test_a_damaged_key_of_the_root(hierarchy, refused, content):
    (hierarchy.directory / "root/ca.key").write_bytes(content)
    refused(FleetmintError, r"root/ca\.key.*: (restore|give)")


def test_a_damaged_certificate_wherever_the_damage_is(hierarchy, refused):
    for name in ("root", "server"):
        path = hierarchy.directory / name / "ca.crt"
        good = path.read_bytes()
        for at in range(30, len(good) - 30, 67):
            path.write_bytes(good[:at] + (b"A" if good[at : at + 1] != b"A" else b"B") + good[at + 1 :])
            refused(FleetmintError, rf"{name}/ca\.crt.*|the backup of the CA")
        path.write_bytes(good)


def test_a_damaged_crl_wherever_the_damage_is(hierarchy, refused):
    path = hierarchy.directory / "factory/crl.pem"
    good = path.read_bytes()
    for at in range(30, len(good) - 30, 31):
        path.write_bytes(good[:at] + (b"A" if good[at : at + 1] != b"A" else b"B") + good[at + 1 :])
        refused(StateError, r"factory/crl\.pem is")


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_what_is_no_crl_at_all(hierarchy, refused, content):
    (hierarchy.directory / "factory/crl.pem").write_bytes(content)
    refused(StateError, r"factory/crl\.pem is no CRL: sign it again, or restore it")


def test_a_key_that_does_not_belong_to_its_certificate(hierarchy, now, snapshot, tmp_path):
    passphrase = hierarchy.source.read("issuing")
    (hierarchy.directory / "operator/ca.key").write_bytes(keys.sealed_pem(keys.new_key(), passphrase))
    before = snapshot(tmp_path)
    with pytest.raises(StateError, match=r"does not belong to .*operator/ca\.crt: restore both from one backup"):
        plan_client(hierarchy, "operator", "alice@test", tmp_path / "operators", now).apply()
    with pytest.raises(StateError, match="does not belong to"):
        plan_authority_crl(hierarchy, "operator", [1], now).apply()
    assert snapshot(tmp_path) == before


def test_a_root_key_that_does_not_belong_to_its_certificate(hierarchy, refused):
    passphrase = hierarchy.source.read("root")
    (hierarchy.directory / "root/ca.key").write_bytes(keys.sealed_pem(keys.new_key("P-384"), passphrase))
    refused(StateError, "does not belong to")


def test_a_clock_before_the_root_was_made(refused, now):
    refused(ClockError, "set the clock of this machine", at=now - timedelta(hours=2))
    refused(ClockError, "nothing was signed", at=now - timedelta(days=9999), gateways=["gateway"])


def test_a_clock_before_the_root_was_made_when_something_else_is_signed(hierarchy, now, snapshot, tmp_path):
    early = now - timedelta(hours=2)
    before = snapshot(hierarchy.directory)
    with pytest.raises(ClockError, match="set the clock of this machine; nothing was signed"):
        plan_client(hierarchy, "operator", "alice@test", tmp_path / "operators", early).apply()
    with pytest.raises(ClockError, match="set the clock"):
        plan_authority_crl(hierarchy, "factory", [1], early)
    assert snapshot(hierarchy.directory) == before
    assert not (tmp_path / "operators").exists()


def test_an_issuing_ca_of_another_site(hierarchy, refused, tmp_path, now):
    other = Hierarchy(tmp_path.parent / f"{tmp_path.name}-other", "other", hierarchy.source)
    plan_hierarchy(other, [], now).apply()
    shutil.rmtree(hierarchy.directory / "factory")
    shutil.copytree(other.directory / "factory", hierarchy.directory / "factory")
    refused(StateError, "belongs to the site 'other', not to 'test': correct fleet_site or fleet_ca_dir, or restore")


def test_an_issuing_ca_of_the_same_name_under_another_root(hierarchy, refused, now):
    other = Hierarchy(hierarchy.directory.parent / "twin", "test", hierarchy.source)
    plan_hierarchy(other, [], now).apply()
    stranger = load_certificate(other.directory / "server/ca.crt")
    (hierarchy.directory / "server/ca.crt").write_bytes(pem(stranger))
    refused(StateError, r"server/ca\.crt is not signed by the root of test, or damaged: restore")


@pytest.mark.parametrize("size", [0, 100, 400, 800])
def test_a_disk_that_is_full_when_a_gateway_is_added(hierarchy, refused, full_disk, now, size):
    # a key has some 350 bytes and a device CA some 900, so the last limits meet the second of the two files
    with full_disk(size):
        refused(StateError, "cannot write .*: File too large; the old content is untouched")
    plan_hierarchy(hierarchy, ["gateway", "second"], now).apply()
    assert hierarchy.authority("device-second").site == "test"


def test_a_disk_that_is_full_when_a_site_is_made_leaves_no_ca_behind(tmp_path, now, full_disk):
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"))
    with full_disk(600), pytest.raises(StateError, match="cannot write"):
        plan_hierarchy(site, ["gateway"], now).apply()
    assert not (tmp_path / "ca").exists()
    plan_hierarchy(site, ["gateway"], now).apply()
    assert not plan_hierarchy(site, ["gateway"], now).changed


def test_a_disk_that_is_full_when_something_is_revoked(hierarchy, now, full_disk, snapshot):
    before = snapshot(hierarchy.directory)
    with full_disk(100), pytest.raises(StateError, match=r"cannot write .*factory/crl\.pem"):
        plan_authority_crl(hierarchy, "factory", [0xABC], now).apply()
    assert snapshot(hierarchy.directory) == before


@pytest.mark.parametrize("gateway", ["", "a", "../x", "Gateway", "gate way", "gateway\n", "-gateway", "g" * 64])
def test_a_gateway_outside_the_grammar(refused, gateway):
    refused(NameRefusedError, "is no device id: it has to be 3 to 63 of", gateways=["gateway", gateway])


@pytest.mark.parametrize("site", ["", "t", "Test", "te/st", "te st", "test\n", "t" * 32])
def test_a_site_outside_the_grammar(hierarchy, refused, site):
    other = Hierarchy(hierarchy.directory, site, hierarchy.source)
    refused(NameRefusedError, "is no site name: it has to be 2 to 31 of", site=other)
