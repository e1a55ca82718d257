"""What a CA issues, and what openssl refuses of it; test_judges.py has every profile before every judge."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from fleetmint.errors import FleetmintError, NameRefusedError
from fleetmint.x509 import compat, keys, names, revocation
from fleetmint.x509.authority import Authority, pem


@pytest.fixture
def chain(hierarchy, tmp_path, now):
    """Write trust and CRL files for one CA and return their paths."""

    def write(name: str):
        ca = hierarchy.authority(name)
        trust, crls = tmp_path / f"{name}.pem", tmp_path / f"{name}.crl"
        root = hierarchy.directory / "root"
        trust.write_bytes((root / "ca.crt").read_bytes() + pem(ca.certificate))
        crl = revocation.build_crl(ca, [], number=1, now=now, lifetime=timedelta(days=7))
        crls.write_bytes((root / "crl.pem").read_bytes() + revocation.crl_pem(crl))
        return ca, trust, crls

    return write


def test_a_leaf_of_the_device_ca_under_another_unit_is_refused_by_openssl(chain, openssl, tmp_path, now):
    ca, trust, _ = chain("device-gateway")
    forged = tmp_path / "forged.pem"
    forged.write_bytes(pem(mint(ca, names.subject("test", "operators", "alice@test"), now)))
    assert b"permitted subtree violation" in openssl("verify", "-CAfile", trust, forged).stderr


@pytest.mark.parametrize(
    "san",
    [
        x509.DNSName("gateway.example"),
        x509.RFC822Name("alice@example.org"),
        x509.UniformResourceIdentifier("https://gateway.example/"),
        x509.UniformResourceIdentifier("urn:lamp:1"),
        x509.IPAddress(__import__("ipaddress").ip_address("192.0.2.1")),
        x509.IPAddress(__import__("ipaddress").ip_address("2001:db8::1")),
    ],
)
def test_a_leaf_of_a_client_ca_with_an_alternative_name_is_refused_by_openssl(chain, openssl, tmp_path, now, san):
    ca, trust, _ = chain("device-gateway")
    forged = tmp_path / "forged.pem"
    forged.write_bytes(pem(mint(ca, names.subject("test", "devices", "lamp-000001"), now, san)))
    verdict = openssl("verify", "-CAfile", trust, forged)
    assert verdict.returncode != 0
    assert b"subtree violation" in verdict.stderr or b"unsupported or invalid name syntax" in verdict.stderr


def test_no_leaf_outlives_its_issuer(hierarchy, now):
    ca = hierarchy.authority("operator")
    late = compat.not_after(ca.certificate) - timedelta(days=3)
    leaf = ca.issue("operator", keys.new_key().public_key(), "alice@test", now=late)
    assert compat.not_after(leaf) == compat.not_after(ca.certificate)
    with pytest.raises(FleetmintError, match="ended on"):
        ca.issue("operator", keys.new_key().public_key(), "alice@test", now=late + timedelta(days=4))


def test_serials_have_at_least_128_random_bits(hierarchy, now):
    ca = hierarchy.authority("factory")
    key = keys.new_key().public_key()
    serials = {ca.issue("factory-device", key, "lamp-000001", now=now).serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(serial.bit_length() == 159 for serial in serials)


def test_names_of_the_wrong_kind_are_refused(hierarchy, now):
    key = keys.new_key().public_key()
    with pytest.raises(NameRefusedError):
        hierarchy.authority("device-gateway").issue("device", key, "alice@test", now=now)
    with pytest.raises(NameRefusedError):
        hierarchy.authority("operator").issue("operator", key, "lamp-000001", now=now)
    with pytest.raises(FleetmintError, match="no alternative names"):
        hierarchy.authority("operator").issue("operator", key, "alice@test", now=now, sans=["example.org"])


def test_revoked_is_refused_by_openssl(chain, openssl, tmp_path, now):
    ca, trust, crls = chain("device-gateway")
    issued = ca.issue("device", keys.new_key().public_key(), "lamp-000001", now=now)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(pem(issued))
    revoked = [revocation.Revoked(issued.serial_number, now, "key_compromise")]
    crl = revocation.build_crl(ca, revoked, number=2, now=now, lifetime=timedelta(days=7))
    crls.write_bytes(crls.read_bytes().split(b"-----END X509 CRL-----\n")[0] + b"-----END X509 CRL-----\n")
    crls.write_bytes(crls.read_bytes() + revocation.crl_pem(crl))
    verified = openssl("verify", "-crl_check_all", "-CAfile", trust, "-CRLfile", crls, leaf)
    assert b"certificate revoked" in verified.stderr
    assert revocation.entries(crl) == tuple(revoked)


def mint(ca: Authority, subject: x509.Name, now, san: x509.GeneralName | None = None) -> x509.Certificate:
    """Sign what the CA's key holder could sign by going round this package."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject)
        .public_key(keys.new_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    return builder.sign(ca.key, hashes.SHA256())
