"""The root's key on a medium that is away on ordinary days."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import plan_client
from fleetmint.ca.store import fingerprint
from fleetmint.errors import StateError
from fleetmint.passphrases import open_source
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import load_certificate


@pytest.fixture
def medium(tmp_path):
    """The mounted medium with the directory that somebody made on it."""
    directory = tmp_path / "medium/root"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def site(tmp_path, medium, now):
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"), medium)
    plan_hierarchy(site, ["gateway"], now).apply()
    return site


@pytest.fixture
def unplug(medium):
    def unplug():
        medium.parent.rename(medium.parent.with_name("in-the-safe"))

    return unplug


def test_the_key_is_on_the_medium_only_and_what_gateways_need_is_here(site, medium):
    assert sorted(path.name for path in medium.iterdir()) == ["ca.crt", "ca.key", "crl.pem"]
    assert sorted(path.name for path in (site.directory / "root").iterdir()) == ["ca.crt", "crl.pem"]
    assert (medium / "ca.key").stat().st_mode & 0o777 == 0o600


def test_ordinary_days_need_no_medium(site, unplug, snapshot, tmp_path, now):
    unplug()
    before = snapshot(tmp_path)
    assert not plan_hierarchy(site, ["gateway"], now).changed
    assert snapshot(tmp_path) == before
    plan_authority_crl(site, "factory", [0xABC], now).apply()
    plan_client(site, "operator", "alice@test", tmp_path / "operators", now).apply()


def test_a_root_operation_says_what_to_plug_in_before_it_changes_anything(site, unplug, snapshot, tmp_path, now):
    unplug()
    before = snapshot(tmp_path)
    root = fingerprint(load_certificate(site.directory / "root/ca.crt"))
    with pytest.raises(StateError, match=f"make the device CA of second.*plug in the medium.*test, SHA-256 {root}"):
        plan_hierarchy(site, ["gateway", "second"], now)
    with pytest.raises(StateError, match="plug in the medium"):
        plan_authority_crl(site, "root", [0xABC], now).apply()
    assert snapshot(tmp_path) == before


def test_with_the_medium_back_a_new_gateway_gets_its_ca(site, now):
    plan_hierarchy(site, ["gateway", "second"], now).apply()
    assert site.authority("device-second").site == "test"


def test_a_root_crl_that_is_due_waits_for_the_medium_and_says_so(site, unplug, now):
    crl = revocation.load_crl((site.directory / "root/crl.pem").read_bytes(), "CRL")
    due = now + (compat.next_update(crl) - now) / 3
    plan_authority_crl(site, "operator", (), due).apply()
    plan_authority_crl(site, "factory", (), due).apply()
    assert any("root/crl.pem" in reason for reason in plan_hierarchy(site, ["gateway"], due).reasons)
    unplug()
    plan = plan_hierarchy(site, ["gateway"], due)
    assert plan.reasons == ()
    assert "bring the root's medium" in plan.expected.warnings[0]


def test_the_medium_of_another_site_is_not_taken_for_this_one(site, tmp_path, medium, now):
    other = Hierarchy(tmp_path / "other", "test", open_source(f"file:{tmp_path / 'passphrases'}"))
    plan_hierarchy(other, [], now).apply()
    wrong = replace(site, root_directory=other.directory / "root")
    with pytest.raises(StateError, match=r"holds another root .* plug in the right medium"):
        wrong.authority("root")


def test_a_medium_that_is_not_mounted_gets_no_root(tmp_path, now):
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"), tmp_path / "medium/root")
    with pytest.raises(StateError, match=r"plug in the medium that is to hold the root of test .*mkdir"):
        plan_hierarchy(site, ["gateway"], now)
    assert list(tmp_path.iterdir()) == []


def test_a_controller_that_was_lost_takes_its_root_up_from_the_medium(site, medium, now):
    key, certificate = (medium / "ca.key").read_bytes(), (medium / "ca.crt").read_bytes()
    shutil.rmtree(site.directory)
    plan_hierarchy(site, ["gateway"], now + timedelta(minutes=1)).apply()
    assert (site.directory / "root/ca.crt").read_bytes() == certificate
    assert (medium / "ca.key").read_bytes() == key
