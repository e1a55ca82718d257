"""How long a root's CRL lasts: until the first of the CAs that it has signed ends, whoever signs the list."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetmint.ca.crls import plan_authority_crl, root_crl_lifetime
from fleetmint.ca.identifier import ROOT
from fleetmint.x509 import compat, keys
from fleetmint.x509.authority import self_signed
from fleetmint.x509.profiles import PROFILES, YEAR
from tests.support.ceremony_site import CeremonySite

CAS = ("server", "server-next", "operator", "factory", "device-gateway")


def ends(openssl, kind, path, option):
    said = openssl(kind, "-in", path, "-noout", option).stdout.decode().strip().partition("=")[2]
    return datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)


def first_end(openssl, directory):
    return min(ends(openssl, "x509", directory / name / "ca.crt", "-enddate") for name in CAS)


def test_the_list_of_a_local_root_ends_with_the_first_ca_and_does_so_again_when_it_is_signed_anew(
    hierarchy, now, openssl
):
    path = hierarchy.store.crl_path(ROOT)
    assert ends(openssl, "crl", path, "-nextupdate") == first_end(openssl, hierarchy.directory)
    plan_authority_crl(hierarchy, ROOT, [7], now + timedelta(days=400)).apply()
    assert ends(openssl, "crl", path, "-nextupdate") == first_end(openssl, hierarchy.directory)


def test_the_list_of_a_ceremony_ends_with_the_first_ca(tmp_path, now, openssl):
    site = CeremonySite(tmp_path, now).make_root()
    site.ask()
    site.answer()
    site.ask()
    path = site.controller.store.crl_path(ROOT)
    assert ends(openssl, "crl", path, "-nextupdate") == first_end(openssl, site.controller.directory)


@pytest.fixture
def root(now):
    return self_signed("test", "test root", keys.new_key("P-384"), now)


def test_what_has_ended_and_what_another_root_signed_does_not_count(root, now):
    key = keys.new_key().public_key()
    other = self_signed("test", "test root", keys.new_key("P-384"), now)
    signed = [
        root.issue("server-ca", key, "test server CA", now=now),
        root.issue("factory-ca", key, "test factory CA", now=now + YEAR),
        other.issue("server-ca", key, "test server CA", now=now + YEAR / 2),
    ]
    later = compat.not_after(signed[0]) + timedelta(days=1)
    assert later + root_crl_lifetime(root.certificate, signed, later) == compat.not_after(signed[1])


def test_a_root_that_has_signed_nothing_yet_lasts_as_long_as_what_it_would_sign(root, now):
    assert root_crl_lifetime(root.certificate, [], now) == PROFILES["server-ca"].lifetime
