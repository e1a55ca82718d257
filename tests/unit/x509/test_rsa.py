"""RSA-3072 leaves for legacy clients: chosen by the profile, never for a device, never for a CA."""

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleetmint.ca.leaves import plan_client, plan_host_certificate
from fleetmint.cli.gateway.group import gateway
from fleetmint.errors import FleetmintError, StateError
from fleetmint.gateway.host_request import make_request
from fleetmint.x509 import keys
from fleetmint.x509.profiles import PROFILES


@pytest.fixture(scope="module")
def rsa_key():
    return keys.new_leaf_key(keys.RSA)


def text_of(openssl, certificate) -> str:
    return openssl("x509", "-in", certificate, "-noout", "-text").stdout.decode()


def test_an_operator_of_the_rsa_profile_gets_an_rsa_key_once(hierarchy, tmp_path, now, openssl):
    plan_client(hierarchy, "operator-rsa", "alice@test", tmp_path / "operators", now).apply()
    key, certificate = tmp_path / "operators/alice@test.key", tmp_path / "operators/alice@test.crt"
    text = text_of(openssl, certificate)
    assert "Public-Key: (3072 bit)" in text
    assert "TLS Web Client Authentication" in text
    assert key.stat().st_mode & 0o777 == 0o600
    assert (
        openssl("pkey", "-in", key, "-pubout").stdout == openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
    )
    assert not plan_client(hierarchy, "operator-rsa", "alice@test", tmp_path / "operators", now).changed


@pytest.mark.parametrize(("first", "then"), [("operator", "operator-rsa"), ("operator-rsa", "operator")])
def test_another_profile_does_not_replace_the_key(hierarchy, tmp_path, now, first, then):
    plan_client(hierarchy, first, "alice@test", tmp_path, now).apply()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("alice*")}
    with pytest.raises(FleetmintError, match=f"profile {then} is for a key of the kind {PROFILES[then].key_kind}"):
        plan_client(hierarchy, then, "alice@test", tmp_path, now)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("alice*")} == before


def test_a_host_asks_with_an_rsa_key_and_gets_the_rsa_profile(hierarchy, tmp_path, now, openssl):
    csr, new = make_request(tmp_path / "nginx.key", "gateway", ["gateway.example"], keys.RSA)
    assert new
    again, new = make_request(tmp_path / "nginx.key", "gateway", ["gateway.example"], keys.RSA)
    assert not new
    first, second = (keys.spki(x509.load_pem_x509_csr(request).public_key()) for request in (csr, again))
    assert first == second
    request, certificate = tmp_path / "nginx.csr", tmp_path / "nginx.crt"
    request.write_bytes(csr)
    arguments = (hierarchy, request, certificate, "gateway", ["gateway.example"], now)
    with pytest.raises(FleetmintError, match="profile server is for a key of the kind P-256, and this one is RSA-3072"):
        plan_host_certificate(*arguments)
    plan_host_certificate(*arguments, "server-rsa").apply()
    text = text_of(openssl, certificate)
    assert "Public-Key: (3072 bit)" in text
    assert "DNS:gateway.example" in text
    assert not plan_host_certificate(*arguments, "server-rsa").changed


@pytest.mark.parametrize("profile", [name for name, profile in PROFILES.items() if profile.key_kind != keys.RSA])
def test_no_other_profile_certifies_an_rsa_key(hierarchy, rsa_key, now, profile):
    issuer = {"device-ca": "device-gateway"}.get(PROFILES[profile].issuer or "", (PROFILES[profile].issuer or "root"))
    authority = hierarchy.authority(issuer.removesuffix("-ca"))
    name = "alice@test" if PROFILES[profile].unit == "operators" else "lamp-000001"
    with pytest.raises(FleetmintError, match="RSA-3072: choose another profile"):
        authority.issue(profile, rsa_key.public_key(), name, now=now)


@pytest.mark.parametrize("bits", [1024, 2048, 4096])
def test_the_rsa_profile_takes_no_other_size(hierarchy, now, bits):
    key = rsa.generate_private_key(65537, bits).public_key()
    with pytest.raises(FleetmintError, match=f"this one is RSA-{bits}"):
        hierarchy.authority("operator").issue("operator-rsa", key, "alice@test", now=now)


def test_a_ca_with_an_rsa_key_is_not_opened(hierarchy, rsa_key, openssl):
    passphrase = hierarchy.source.read("issuing")
    sealed = rsa_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )
    (hierarchy.directory / "operator/ca.key").write_bytes(sealed)
    with pytest.raises(StateError, match="is not an EC key"):
        hierarchy.authority("operator")


def test_the_command_on_the_gateway_makes_the_kind_of_key_that_it_is_told(tmp_path):
    for kind, path in ((None, tmp_path / "ec.key"), (keys.RSA, tmp_path / "rsa.key")):
        chosen = [] if kind is None else ["--kind", kind]
        done = CliRunner().invoke(gateway, ["request", "gateway", "--key", str(path), *chosen])
        assert done.exit_code == 0, done.output
        found = x509.load_pem_x509_csr(done.output.encode()).public_key()
        assert keys.kind_of(found) == (kind or "P-256")


def test_the_request_of_an_rsa_key_is_signed_with_sha256(tmp_path):
    csr, _ = make_request(tmp_path / "key", "gateway", [], keys.RSA)
    assert isinstance(x509.load_pem_x509_csr(csr).signature_hash_algorithm, hashes.SHA256)
