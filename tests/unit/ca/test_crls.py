"""The CRL file of a CA on the controller: when it is signed again, and what stays."""

from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509 import compat, revocation
from fleetmint.x509.profiles import BACKDATE
from tests.support import handmade

YEAR = timedelta(days=365)


def crl_of(hierarchy, name) -> x509.CertificateRevocationList:
    return revocation.load_crl((hierarchy.directory / name / "crl.pem").read_bytes(), name)


@pytest.mark.parametrize("name", ["operator", "factory"])
def test_the_crls_of_operators_and_factory_last_as_long_as_their_cas(hierarchy, now, name):
    assert compat.next_update(crl_of(hierarchy, name)) == compat.not_after(hierarchy.authority(name).certificate)
    assert compat.last_update(crl_of(hierarchy, name)) == now - BACKDATE


@pytest.mark.parametrize("name", ["operator", "factory"])
def test_a_crl_that_lasts_as_long_as_its_ca_is_left_alone(hierarchy, now, name):
    path = hierarchy.directory / name / "crl.pem"
    before = path.read_bytes()
    for years in (1, 3, 9):
        plan = plan_authority_crl(hierarchy, name, (), now + years * YEAR)
        plan.apply()
        assert (plan.reasons, path.read_bytes()) == ((), before)


@pytest.mark.parametrize("name", ["operator", "factory"])
def test_a_crl_that_could_last_longer_is_signed_again_once(hierarchy, now, name):
    path, authority = hierarchy.directory / name / "crl.pem", hierarchy.authority(name)
    short = revocation.build_crl(authority, [revocation.Revoked(7, now)], number=3, now=now, lifetime=YEAR)
    path.write_bytes(revocation.crl_pem(short))
    plan = plan_authority_crl(hierarchy, name, (), now + timedelta(days=1))
    (reason,) = plan.reasons
    assert f"ends {now + YEAR:%Y-%m-%d} and can last until {compat.not_after(authority.certificate):%Y-%m-%d}" in reason
    plan.apply()
    assert compat.next_update(crl_of(hierarchy, name)) == compat.not_after(authority.certificate)
    assert revocation.crl_number(crl_of(hierarchy, name)) == 4
    assert [entry.serial for entry in revocation.entries(crl_of(hierarchy, name))] == [7]
    assert not plan_authority_crl(hierarchy, name, (), now + timedelta(days=2)).changed


def test_the_crl_of_the_root_is_left_alone_until_a_quarter_of_its_life_has_passed(hierarchy, now):
    path = hierarchy.directory / "root/crl.pem"
    before = path.read_bytes()
    old = crl_of(hierarchy, "root")
    quarter = compat.last_update(old) + (compat.next_update(old) - compat.last_update(old)) / 4
    early = plan_authority_crl(hierarchy, "root", (), quarter - timedelta(minutes=1))
    early.apply()
    assert (early.reasons, path.read_bytes()) == ((), before)
    late = plan_authority_crl(hierarchy, "root", (), quarter + timedelta(minutes=1))
    assert late.reasons == (f"a quarter of the life of {path} has passed",)
    late.apply()
    assert revocation.crl_number(crl_of(hierarchy, "root")) == 2
    assert compat.next_update(crl_of(hierarchy, "root")) >= compat.next_update(old)


def test_a_revocation_is_reason_enough_and_is_told_before_and_after(hierarchy, now):
    plan = plan_authority_crl(hierarchy, "operator", [0xAB, 0xCD], now)
    assert plan.reasons == ("revoke ab", "revoke cd")
    assert "revoked ab" in plan.after
    assert "revoked" not in plan.before
    assert crl_of(hierarchy, "operator").get_revoked_certificate_by_serial_number(0xAB) is None
    plan.apply()
    assert {entry.serial for entry in revocation.entries(crl_of(hierarchy, "operator"))} == {0xAB, 0xCD}


def test_numbers_only_rise_and_what_is_revoked_stays_with_its_first_date(hierarchy, now):
    numbers = [revocation.crl_number(crl_of(hierarchy, "operator"))]
    for at, serials in ((0, [1]), (10, [1]), (20, [2]), (120, [4]), (240, [1, 3])):
        plan_authority_crl(hierarchy, "operator", serials, now + timedelta(days=at)).apply()
        numbers.append(revocation.crl_number(crl_of(hierarchy, "operator")))
    assert numbers == [1, 2, 2, 3, 4, 5]
    dates = {entry.serial: entry.at for entry in revocation.entries(crl_of(hierarchy, "operator"))}
    assert dates == {1: now, **{serial: now + timedelta(days=days) for serial, days in ((2, 20), (4, 120), (3, 240))}}


def test_a_crl_ends_with_its_ca_and_the_plan_says_so(hierarchy, now):
    end = compat.not_after(hierarchy.authority("operator").certificate)
    plan = plan_authority_crl(hierarchy, "operator", [7], end - timedelta(days=30))
    assert f"next update {end:%Y-%m-%d %H:%M}Z" in plan.after
    plan.apply()
    assert compat.next_update(crl_of(hierarchy, "operator")) == end


def test_a_ca_that_has_ended_signs_no_crl(hierarchy, now):
    before = (hierarchy.directory / "operator/crl.pem").read_bytes()
    end = compat.not_after(hierarchy.authority("operator").certificate)
    with pytest.raises(FleetmintError, match="test operator CA ended on"):
        plan_authority_crl(hierarchy, "operator", [1], end + timedelta(seconds=1)).apply()
    assert (hierarchy.directory / "operator/crl.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda directory: b"garbage", "is no CRL"),
        (lambda directory: (directory / "factory/crl.pem").read_bytes(), "CA"),
    ],
    ids=["garbage", "another CA's"],
)
def test_a_crl_that_is_no_record_is_not_built_upon(hierarchy, now, broken, reason):
    path = hierarchy.directory / "operator/crl.pem"
    path.write_bytes(broken(hierarchy.directory))
    before = path.read_bytes()
    with pytest.raises(StateError, match=reason):
        plan_authority_crl(hierarchy, "operator", [1], now)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "numbers", [[], [x509.CRLNumber(1 << 159)], [x509.CRLNumber(1 << 2000)]], ids=["none", "21 octets", "251 octets"]
)
def test_a_crl_without_a_number_of_twenty_octets_is_signed_again(hierarchy, now, numbers):
    authority = hierarchy.authority("operator")
    path = hierarchy.directory / "operator/crl.pem"
    path.write_bytes(handmade.crl(authority, now, handmade.key_id(authority), *numbers))
    with pytest.raises(StateError, match="20 octets"):
        revocation.crl_number(crl_of(hierarchy, "operator"))
    plan = plan_authority_crl(hierarchy, "operator", [], now)
    assert plan.reasons[0] == f"{path} has no CRL number of at most 20 octets"
    plan.apply()
    assert revocation.crl_number(crl_of(hierarchy, "operator")) == int(now.timestamp())
    assert not plan_authority_crl(hierarchy, "operator", [], now).changed


def test_a_number_of_twenty_octets_is_one(hierarchy, now):
    authority = hierarchy.authority("operator")
    path = hierarchy.directory / "operator/crl.pem"
    path.write_bytes(handmade.crl(authority, now, handmade.key_id(authority), x509.CRLNumber((1 << 158) + 7)))
    plan_authority_crl(hierarchy, "operator", [1], now).apply()
    assert revocation.crl_number(crl_of(hierarchy, "operator")) == (1 << 158) + 8
