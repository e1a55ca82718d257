"""A CRL that is missing on the controller is never begun again; it is taken back from whoever holds the newest."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import Kind
from fleetmint.ca.leaves import plan_client
from fleetmint.ca.operators import find_client, plan_revoked_client
from fleetmint.ca.restore import plan_restored
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.errors import ClockError, StateError
from fleetmint.passphrases import open_source
from fleetmint.x509 import revocation
from tests.support.ceremony_site import CeremonySite

LISTS = ("root", "operator", "factory")


@pytest.fixture
def path(hierarchy):
    return hierarchy.directory / "operator/crl.pem"


@pytest.fixture
def operators(hierarchy, tmp_path, now):
    """Alice and Bob; Alice is revoked with the CRL number 2."""
    directory = tmp_path / "operators"
    for name in ("alice@test", "bob@test"):
        plan_client(hierarchy, "operator", name, directory, now).apply()
    plan_revoked_client(hierarchy, find_client(hierarchy, directory, "alice@test", now), "unspecified", now).apply()
    return directory


@pytest.fixture
def fetched(path, operators, tmp_path):
    """The operator CA's list as a gateway gives it out: DER."""
    crl = revocation.load_crl(path.read_bytes(), "CRL")
    target = tmp_path / "operator.crl"
    target.write_bytes(crl.public_bytes(serialization.Encoding.DER))
    return target


def number(path):
    return revocation.crl_number(revocation.load_crl(path.read_bytes(), "CRL"))


def cut(monkeypatch, after):
    """Let the machine stop after so many files got their names."""
    replace, left = Path.replace, [after]

    def counted(self, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_list_is_not_begun_again(hierarchy, now, snapshot, name):
    (hierarchy.directory / name / "crl.pem").unlink()
    before = snapshot(hierarchy.directory.parent)
    fetch = rf"curl -fO http://GATEWAY/{name}\.crl.*fleetmint ca restore-crl {name}\.crl"
    with pytest.raises(StateError, match=fetch):
        plan_hierarchy(hierarchy, ["gateway", "second"], now).apply()
    with pytest.raises(StateError, match=fetch):
        plan_authority_crl(hierarchy, name, [1], now).apply()
    assert snapshot(hierarchy.directory.parent) == before


def test_without_the_list_nobody_passes_for_not_revoked(hierarchy, operators, path, now, snapshot):
    path.unlink()
    before = snapshot(operators)
    with pytest.raises(StateError, match="restore-crl"):
        plan_client(hierarchy, "operator", "alice@test", operators, now + timedelta(days=360)).apply()
    assert snapshot(operators) == before


def test_the_restored_list_is_gone_on_from(hierarchy, fetched, path, now):
    kept = path.read_bytes()
    path.unlink()
    plan = plan_restored(hierarchy, [fetched], now)
    assert plan.reasons == ("take over the CRL number 2 of the operator CA",)
    assert not path.exists()
    plan.apply()
    assert path.read_bytes() == kept
    assert not plan_restored(hierarchy, [fetched], now).changed
    plan_authority_crl(hierarchy, "operator", [0xABC], now).apply()
    assert number(path) == 3
    assert len(revocation.entries(revocation.load_crl(path.read_bytes(), "CRL"))) == 2


def test_a_backup_that_is_older_is_brought_up_to_date(hierarchy, fetched, path, operators, now):
    newest = path.read_bytes()
    authority = hierarchy.authority("operator")
    old = revocation.build_crl(authority, [], number=1, now=now, lifetime=timedelta(days=365))
    path.write_bytes(revocation.crl_pem(old))
    plan_restored(hierarchy, [fetched], now).apply()
    assert path.read_bytes() == newest


@pytest.mark.parametrize(
    ("revoked", "crl_number", "why"),
    [
        ([], 1, "number 1.*holds number 2.*would forget revocations; keep"),
        ([7], 9, r"does not revoke [0-9a-f]+, .*revoke each.*again"),
    ],
    ids=["older", "forgetful"],
)
def test_a_list_that_would_forget_somebody_is_refused(hierarchy, fetched, path, now, revoked, crl_number, why):
    entries = [revocation.Revoked(serial, now) for serial in revoked]
    authority = hierarchy.authority("operator")
    other = revocation.build_crl(authority, entries, number=crl_number, now=now, lifetime=timedelta(days=365))
    fetched.write_bytes(revocation.crl_pem(other))
    before = path.read_bytes()
    with pytest.raises(StateError, match=why):
        plan_restored(hierarchy, [fetched], now)
    assert path.read_bytes() == before


def test_the_list_of_each_of_two_roots_is_taken_back_to_its_own_place(hierarchy, tmp_path, now):
    for move in ("introduce", "switch"):
        plan_move(Rollover(hierarchy, Kind.ROOT, ["gateway"], tmp_path / "issued"), move, now).apply()
    paths = [hierarchy.directory / name / "crl.pem" for name in ("root", "outgoing/root")]
    before = [path.read_bytes() for path in paths]
    fetched = [tmp_path / "root.crl", tmp_path / "root-2.crl"]
    for path, source in zip(paths, fetched, strict=True):
        path.rename(source)
    plan_restored(hierarchy, fetched, now).apply()
    assert [path.read_bytes() for path in paths] == before


def test_a_revoked_ca_that_a_list_forgets_is_revoked_again_with_its_file(hierarchy, tmp_path, now):
    older = tmp_path / "root.crl"
    forgetful = revocation.build_crl(hierarchy.authority("root"), [], number=9, now=now, lifetime=timedelta(days=365))
    older.write_bytes(revocation.crl_pem(forgetful))
    plan_authority_crl(hierarchy, "root", [7], now).apply()
    with pytest.raises(StateError, match=r"fleetmint revoke \S+/ca/NAME/ca\.crt --whole-ca"):
        plan_restored(hierarchy, [older], now)


def test_a_forged_or_foreign_or_damaged_list_is_refused(hierarchy, fetched, path, tmp_path, now):
    other = Hierarchy(tmp_path / "other/ca", "test", open_source(f"file:{tmp_path / 'other/passphrases'}"))
    plan_hierarchy(other, ["gateway"], now).apply()
    path.unlink()
    with pytest.raises(StateError, match="is no CA of test here, or it is damaged"):
        plan_restored(hierarchy, [other.directory / "operator/crl.pem"], now)
    good = fetched.read_bytes()
    fetched.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    with pytest.raises(StateError, match="damaged: fetch the list of this site again"):
        plan_restored(hierarchy, [fetched], now)
    fetched.write_bytes(b"<!doctype html>")
    with pytest.raises(StateError, match="is no CRL: fetch it again"):
        plan_restored(hierarchy, [fetched], now)
    assert not path.exists()


def test_the_list_of_a_device_ca_is_its_gateways(hierarchy, tmp_path, now):
    authority = hierarchy.authority("device-gateway")
    crl = revocation.build_crl(authority, [], number=4, now=now, lifetime=timedelta(days=7))
    (tmp_path / "device.crl").write_bytes(revocation.crl_pem(crl))
    with pytest.raises(StateError, match="'test device CA of gateway', which its gateway signs and keeps"):
        plan_restored(hierarchy, [tmp_path / "device.crl"], now)


def test_all_lists_are_taken_over_or_none(hierarchy, fetched, path, tmp_path, now):
    path.unlink()
    (tmp_path / "bad").write_bytes(b"bad")
    with pytest.raises(StateError, match="bad is no CRL"):
        plan_restored(hierarchy, [fetched, tmp_path / "bad"], now)
    with pytest.raises(StateError, match="two of these files are lists of the operator CA"):
        plan_restored(hierarchy, [fetched, fetched], now)
    assert not path.exists()


def test_a_list_from_the_future_is_not_taken_over(hierarchy, fetched, path, now):
    path.unlink()
    with pytest.raises(ClockError, match="set the clock that is wrong"):
        plan_restored(hierarchy, [fetched], now - timedelta(hours=2))


def test_wherever_making_the_cas_is_cut_the_next_run_finishes_it(tmp_path, now, monkeypatch):
    after = 0
    while True:
        site = Hierarchy(tmp_path / f"{after}/ca", "test", open_source(f"file:{tmp_path / str(after)}/passphrases"))
        with monkeypatch.context() as patch:
            cut(patch, after)
            try:
                plan_hierarchy(site, ["gateway"], now).apply()
            except KeyboardInterrupt:
                finished = False
            else:
                finished = True
        plan_hierarchy(site, ["gateway"], now).apply()
        assert [number(site.directory / name / "crl.pem") for name in LISTS] == [1, 1, 1]
        assert not plan_hierarchy(site, ["gateway"], now).changed
        if finished:
            break
        after += 1
    assert after > 15


def test_wherever_the_take_over_of_answers_is_cut_the_next_run_finishes_it(tmp_path, now, monkeypatch):
    site = CeremonySite(tmp_path / "site", now).make_root()
    site.ask()
    site.answer()
    shutil.copytree(tmp_path / "site", tmp_path / "answered")
    after, finished = 0, False
    while not finished:
        shutil.rmtree(tmp_path / "site")
        shutil.copytree(tmp_path / "answered", tmp_path / "site")
        with monkeypatch.context() as patch:
            cut(patch, after)
            try:
                site.ask()
            except KeyboardInterrupt:
                after += 1
            else:
                finished = True
        site.ask()
        assert [number(site.controller.directory / name / "crl.pem") for name in LISTS] == [1, 1, 1]
        assert site.ask().reasons == ()
    assert after > 5


def test_beside_a_ceremony_an_earlier_visits_list_does_not_replace_a_lost_one(tmp_path, now):
    site = CeremonySite(tmp_path, now).make_root()
    site.ask()
    site.answer()
    site.ask()
    (site.controller.directory / "root/crl.pem").unlink()
    with pytest.raises(StateError, match="restore-crl root"):
        site.ask()


def test_the_root_machine_signs_no_second_first_list(tmp_path, now):
    site = CeremonySite(tmp_path, now).make_root()
    site.ask()
    (site.vault / "root/crl.pem").unlink()
    with pytest.raises(StateError, match=r"root/crl\.pem is missing"):
        site.answer()


def test_a_lost_controller_takes_the_roots_list_up_from_the_medium(tmp_path, now):
    medium = tmp_path / "medium"
    medium.mkdir()
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"), medium)
    plan_hierarchy(site, ["gateway"], now).apply()
    plan_authority_crl(site, "root", [0xABC], now).apply()
    shutil.rmtree(site.directory)
    plan_hierarchy(site, ["gateway"], now).apply()
    crl = revocation.load_crl((site.directory / "root/crl.pem").read_bytes(), "CRL")
    assert (revocation.crl_number(crl), [entry.serial for entry in revocation.entries(crl)]) == (2, [0xABC])
    (medium / "crl.pem").unlink()
    assert plan_hierarchy(site, ["gateway"], now).reasons == (f"copy the root's CRL to {medium / 'crl.pem'}",)
    shutil.rmtree(site.directory)
    with pytest.raises(StateError, match=r"medium/crl\.pem is missing"):
        plan_hierarchy(site, ["gateway"], now).apply()
    assert not site.directory.exists()
