import re

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import CaId
from fleetmint.errors import SecretError, StateError
from fleetmint.passphrases import open_source


def snapshot(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_second_run_finds_nothing_to_do_and_needs_no_passphrase(hierarchy, now):
    blind = Hierarchy(hierarchy.directory, hierarchy.site, Blind(hierarchy.source))
    assert plan_hierarchy(blind, ["gateway"], now).reasons == ()


def test_a_plan_that_is_not_applied_writes_nothing(tmp_path, now):
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"))
    assert plan_hierarchy(site, ["gateway"], now).changed
    assert list(tmp_path.iterdir()) == []


def test_keys_are_encrypted_and_readable_by_their_owner_only(hierarchy, openssl):
    for key in hierarchy.directory.glob("*/ca.key"):
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.parent.stat().st_mode & 0o777 == 0o700
        assert b"ENCRYPTED" in key.read_bytes()
        assert openssl("pkey", "-in", key, "-noout", "-passin", "pass:wrong").returncode != 0
    for passphrase in hierarchy.source.directory.iterdir():
        assert passphrase.stat().st_mode & 0o777 == 0o600


def test_openssl_opens_the_root_with_its_passphrase_and_not_with_that_of_the_issuing_cas(hierarchy, openssl):
    key = hierarchy.directory / "root/ca.key"
    root, issuing = hierarchy.source.directory / "root", hierarchy.source.directory / "issuing"
    assert openssl("pkey", "-in", key, "-noout", "-passin", f"file:{root}").returncode == 0
    assert openssl("pkey", "-in", key, "-noout", "-passin", f"file:{issuing}").returncode != 0


def test_a_new_gateway_gets_a_device_ca_and_no_other_key_changes(hierarchy, now):
    before = {path: data for path, data in snapshot(hierarchy.directory).items() if path.name != "crl.pem"}
    plan = plan_hierarchy(hierarchy, ["gateway", "second"], now)
    assert plan.reasons == ("make the device CA of second",)
    plan.apply()
    after = snapshot(hierarchy.directory)
    assert {path: after[path] for path in before} == before
    assert (hierarchy.directory / "device-second/ca.crt").exists()


def test_a_run_that_was_cut_between_key_and_certificate_keeps_the_key(hierarchy, now):
    key = (hierarchy.directory / "factory/ca.key").read_bytes()
    (hierarchy.directory / "factory/ca.crt").unlink()
    (hierarchy.directory / "factory/crl.pem").unlink()
    plan_hierarchy(hierarchy, ["gateway"], now).apply()
    assert (hierarchy.directory / "factory/ca.key").read_bytes() == key
    assert hierarchy.authority("factory").certificate is not None


def test_a_certificate_without_its_key_is_refused_and_nothing_is_written(hierarchy, now):
    (hierarchy.directory / "operator/ca.key").unlink()
    before = snapshot(hierarchy.directory)
    with pytest.raises(StateError, match="has no key beside it"):
        plan_hierarchy(hierarchy, ["gateway"], now)
    assert snapshot(hierarchy.directory) == before


def test_a_lost_passphrase_is_not_replaced_while_keys_need_it(hierarchy, now):
    (hierarchy.source.directory / "issuing").unlink()
    with pytest.raises(StateError, match="'issuing' is missing"):
        plan_hierarchy(hierarchy, ["gateway"], now)
    assert not (hierarchy.source.directory / "issuing").exists()


def test_the_wrong_passphrase_is_told_without_showing_any(hierarchy):
    path = hierarchy.source.directory / "issuing"
    path.write_bytes(b"A" * 32)
    with pytest.raises(SecretError, match="does not open") as error:
        hierarchy.authority("factory")
    assert "AAAA" not in str(error.value)


def test_the_ca_of_another_site_is_refused(hierarchy, now):
    other = Hierarchy(hierarchy.directory, "other", hierarchy.source)
    with pytest.raises(StateError, match="belongs to the site 'test'"):
        plan_hierarchy(other, ["gateway"], now)


def test_the_root_crl_lasts_until_the_first_issuing_ca_ends(hierarchy, openssl):
    crl = openssl("crl", "-in", hierarchy.directory / "root/crl.pem", "-noout", "-nextupdate").stdout
    ends = [
        openssl("x509", "-in", path, "-noout", "-enddate").stdout
        for path in hierarchy.directory.glob("*/ca.crt")
        if path.parent.name != "root"
    ]
    year = re.search(rb"20\d\d", crl)
    assert year is not None
    assert year[0] == min(re.search(rb"20\d\d", end)[0] for end in ends)


def test_a_revocation_raises_the_number_and_is_kept(hierarchy, now, openssl):
    plan_authority_crl(hierarchy, "factory", [0xABCDEF], now).apply()
    plan_authority_crl(hierarchy, "factory", [0x123456], now).apply()
    assert not plan_authority_crl(hierarchy, "factory", [0xABCDEF], now).changed
    text = openssl("crl", "-in", hierarchy.directory / "factory/crl.pem", "-noout", "-text").stdout.decode()
    assert "ABCDEF" in text
    assert "123456" in text
    assert re.search(r"CRL Number:\s*3", text)


class Blind:
    """A source that has every passphrase and gives none."""

    def __init__(self, source):
        self.directory = source.directory

    def has(self, name):
        return True

    def read(self, name):
        raise AssertionError(f"asked for the passphrase {name}")


def test_the_title_of_each_ca_is_in_its_subject(hierarchy, openssl):
    for name in ("server", "server-next", "operator", "factory", "root", "device-gateway"):
        subject = openssl("x509", "-in", hierarchy.directory / name / "ca.crt", "-noout", "-subject").stdout.decode()
        assert "O = test, OU = authorities, CN = test " in subject
        assert subject.strip().endswith(f"CN = test {CaId.parse(name).title}")
