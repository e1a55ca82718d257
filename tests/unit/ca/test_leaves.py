from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.ca.leaves import plan_client, plan_host_certificate
from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509 import compat, keys
from fleetmint.x509.authority import load_certificate

NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture
def request_file(tmp_path):
    key = keys.new_key()
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    path = tmp_path / "nginx.csr"
    path.write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_host_certificate_is_issued_once_and_serves_its_names(hierarchy, request_file, tmp_path, now, openssl):
    path = tmp_path / "nginx.crt"
    plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, now).apply()
    assert not plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES[::-1], now).changed
    trust = ["-x509_strict", "-CAfile", hierarchy.directory / "root/ca.crt", "-untrusted", path]
    for flag, name in (("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1")):
        assert openssl("verify", *trust, flag, name, path).returncode == 0
    assert openssl("verify", *trust, "-verify_hostname", "gateway", path).returncode != 0


def test_each_reason_to_issue_again_is_told(hierarchy, request_file, tmp_path, now):
    path = tmp_path / "nginx.crt"
    plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, now).apply()
    later = now + timedelta(days=31)
    assert "ends on" in plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, later).reasons[0]
    other = plan_host_certificate(hierarchy, request_file, path, "gateway", ["pi.example"], now)
    assert other.reasons == ("nginx.crt: the alternative names differ",)


def ends(openssl, path):
    said = openssl("x509", "-in", path, "-noout", "-enddate").stdout.decode().strip().partition("=")[2]
    return datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)


def test_each_run_leaves_two_years_of_server_certificate_for_the_same_key(
    hierarchy, request_file, tmp_path, now, openssl
):
    path, at = tmp_path / "nginx.crt", now
    public_keys = set()
    for days in (0, 29, 2, 31, 700, 799):
        at += timedelta(days=days)
        plan = plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, at)
        assert plan.changed == (days != 29), plan.reasons
        plan.apply()
        assert timedelta(days=730) < ends(openssl, path) - at <= timedelta(days=825)
        public_keys.add(openssl("x509", "-in", path, "-noout", "-pubkey").stdout)
    assert len(public_keys) == 1


def test_a_certificate_that_ends_with_its_ca_is_not_issued_again_for_nothing(hierarchy, request_file, tmp_path, now):
    path = tmp_path / "nginx.crt"
    end = compat.not_after(hierarchy.authority("server").certificate)
    plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, end - timedelta(days=500)).apply()
    assert compat.not_after(load_certificate(path)) == end
    assert not plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, end - timedelta(days=1)).changed


def test_a_shorter_life_is_renewed_after_a_third_of_it_and_ends_a_longer_one_at_once(
    hierarchy, request_file, tmp_path, now, openssl
):
    path = tmp_path / "nginx.crt"

    def plan(days, life):
        at = now + timedelta(days=days)
        lifetime = timedelta(days=life)
        return plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, at, "server", lifetime)

    plan(0, 800).apply()
    (reason,) = plan(0, 9).reasons
    assert "has to by" in reason
    plan(0, 9).apply()
    assert ends(openssl, path) == now + timedelta(days=9)
    assert [plan(days, 9).changed for days in (0, 2, 4)] == [False, False, True]
    for life in (0, 801):
        with pytest.raises(FleetmintError, match="lasts 1 to 800 days"):
            plan(0, life)


@pytest.mark.parametrize("profile", ["operator", "station", "dashboard"])
def test_each_run_leaves_23_months_to_those_who_watch_the_fleet(hierarchy, tmp_path, now, openssl, profile):
    for days in (0, 89, 100, 700):
        at = now + timedelta(days=days)
        plan_client(hierarchy, profile, "anna@test", tmp_path, at).apply()
        assert ends(openssl, tmp_path / "anna@test.crt") - at > timedelta(days=700)


def test_what_a_clock_that_ran_ahead_issued_is_issued_again_for_the_same_key(
    hierarchy, request_file, tmp_path, now, openssl
):
    path, operators, ahead = tmp_path / "nginx.crt", tmp_path / "operators", now + timedelta(days=90)
    plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, ahead).apply()
    plan_client(hierarchy, "operator", "alice@test", operators, ahead).apply()
    key = (operators / "alice@test.key").read_bytes()
    for certificate, plan in (
        (path, lambda: plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, now)),
        (operators / "alice@test.crt", lambda: plan_client(hierarchy, "operator", "alice@test", operators, now)),
    ):
        assert "still to come" in plan().reasons[0]
        plan().apply()
        assert not plan().changed
        chain = ("-CAfile", hierarchy.directory / "root/ca.crt", "-untrusted", certificate)
        assert openssl("verify", *chain, "-attime", str(int(now.timestamp())), certificate).returncode == 0
    assert (operators / "alice@test.key").read_bytes() == key


def test_a_damaged_certificate_is_told_and_kept(hierarchy, request_file, tmp_path, now):
    path = tmp_path / "nginx.crt"
    path.write_bytes(b"damaged")
    with pytest.raises(StateError, match="remove it"):
        plan_host_certificate(hierarchy, request_file, path, "gateway", NAMES, now)
    assert path.read_bytes() == b"damaged"


def test_an_operator_gets_key_and_certificate_once(hierarchy, tmp_path, now, openssl):
    plan_client(hierarchy, "operator", "alice@test", tmp_path / "operators", now).apply()
    key, certificate = tmp_path / "operators/alice@test.key", tmp_path / "operators/alice@test.crt"
    assert key.stat().st_mode & 0o777 == 0o600
    public = openssl("pkey", "-in", key, "-pubout").stdout
    assert openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout == public
    assert not plan_client(hierarchy, "operator", "alice@test", tmp_path / "operators", now).changed
    plan_client(hierarchy, "operator", "alice@test", tmp_path / "operators", now + timedelta(days=320)).apply()
    assert openssl("pkey", "-in", key, "-pubout").stdout == public
