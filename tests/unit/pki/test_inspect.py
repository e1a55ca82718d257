"""What `inspect` says about files of every kind, and what it never says."""

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fleetmint.errors import SecretError, StateError
from fleetmint.pki import keys, pkcs12, revocation
from fleetmint.pki.authority import pem
from fleetmint.pki.inspect import der_parts, inspect, read_certificates

DER = serialization.Encoding.DER
FORMS = {"PEM": serialization.Encoding.PEM, "DER": DER}


@pytest.fixture
def look(now):
    def run(data: bytes, password: bytes | None = None):
        def ask() -> bytes:
            assert password is not None, "asked for a password"
            return password

        found = inspect(data, now, ask, "the file")
        json.dumps([dict(finding.facts) for finding in found])
        return found

    return run


@pytest.fixture
def leaf(hierarchy, now):
    key = keys.new_key()
    return key, hierarchy.authority("operator").issue("operator", key.public_key(), "alice@test", now=now)


def test_a_certificate_in_words_and_as_openssl_has_it(look, leaf, openssl, tmp_path):
    finding = look(pem(leaf[1]))[0]
    assert finding.title == "a certificate of the operator alice@test, 365 days left"
    path = tmp_path / "leaf.pem"
    path.write_bytes(pem(leaf[1]))
    said = openssl("x509", "-in", path, "-noout", "-serial", "-fingerprint", "-sha256").stdout.decode()
    assert finding.facts["serial"].upper() in said
    assert finding.facts["sha256"].upper() in said.replace(":", "")
    assert finding.facts["usages"] == ["client"]
    assert finding.facts["key"] == "EC P-256"
    assert finding.facts["ca"] is False


def test_a_chain_gives_one_finding_each_in_pem_and_in_der(look, hierarchy, leaf):
    chain = (leaf[1], *(hierarchy.authority(name).certificate for name in ("operator", "root")))
    kinds = [finding.title for finding in look(pem(*chain))]
    assert kinds[1:] == ["a CA called 'test operator CA' for clients", "the root CA called 'test root'"]
    der = b"".join(certificate.public_bytes(DER) for certificate in chain)
    assert [finding.title for finding in look(der)] == kinds


def test_a_client_ca_says_whom_it_may_issue_for(look, hierarchy):
    facts = look(pem(hierarchy.authority("device-gateway").certificate))[0].facts
    assert facts["only_under"] == ["OU=devices,O=test"]
    assert facts["path_length"] == 0


def test_what_has_ended_says_since_when(leaf, now):
    finding = inspect(pem(leaf[1]), now + timedelta(days=400), bytes, "x")[0]
    assert finding.title.endswith("ended 35 days ago")


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_request(look, form):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.DNSName("gateway.local")])
    csr = builder.add_extension(names, critical=False).sign(keys.new_key(), hashes.SHA256())
    finding = look(csr.public_bytes(FORMS[form]))[0]
    assert finding.title == "a request for an empty subject, signed by its own key"
    assert finding.facts["names"] == ["gateway.local"]


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_crl(look, hierarchy, now, form):
    crl = revocation.build_crl(
        hierarchy.authority("factory"),
        [revocation.Revoked(0xABC, now, "key_compromise")],
        number=7,
        now=now,
        lifetime=timedelta(days=30),
    )
    finding = look(crl.public_bytes(FORMS[form]))[0]
    assert finding.title == "the CRL number 7 of 'test factory CA': 1 revoked"
    assert finding.facts["revoked"][0]["serial"] == "abc"
    assert finding.facts["revoked"][0]["reason"] == "key_compromise"
    assert finding.facts["days_left"] == 30


def test_an_encrypted_key_is_not_opened(look, hierarchy):
    finding = look((hierarchy.directory / "root/ca.key").read_bytes())[0]
    assert (finding.title, finding.facts["encrypted"]) == ("a private key, encrypted", True)
    key = keys.new_key().private_bytes(
        DER, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    assert look(key)[0].facts["encrypted"] is True


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (keys.new_key(), "EC P-256"),
        (keys.new_key("P-384"), "EC P-384"),
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
)
def test_an_open_key_shows_its_public_part_only(look, key, text):
    for form in ("PEM", "DER"):
        data = key.private_bytes(FORMS[form], serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        finding = look(data)[0]
        assert finding.title == f"a private key, {text}, not encrypted"
        assert set(finding.facts) == {"encrypted", "form", "key", "key_sha256"}
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert look(public)[0].facts["key_sha256"] == finding.facts["key_sha256"]


def test_a_pkcs12_wants_its_password_and_shows_no_key(look, hierarchy, leaf):
    data = pkcs12.make_pkcs12(*leaf, hierarchy.authority("operator").certificate, "alice@test", b"p" * 12)
    found = look(data, b"p" * 12)
    assert [finding.kind for finding in found] == ["PKCS #12", "private key", "certificate", "certificate"]
    secret = leaf[0].private_numbers().private_value
    assert f"{secret:x}" not in str(found)
    with pytest.raises(SecretError, match="does not open the file"):
        look(data, b"q" * 12)


def test_a_damaged_block_is_named(look, leaf):
    text = pem(leaf[1]).replace(b"MII", b"AAA", 1)
    with pytest.raises(StateError, match="certificate in the file is damaged"):
        look(text)


@pytest.mark.parametrize("data", [b"", b"hello", b"0\x82\xff\xff", bytes(4096), b"\x30\x00" * 3, b"\x30\x80\x00\x00"])
def test_anything_else_is_nothing(look, data):
    assert look(data) == []
    with pytest.raises(StateError, match="is no certificate"):
        read_certificates(data, "the file")


def test_der_is_split_only_when_it_fits_to_the_last_byte():
    assert der_parts(b"\x30\x01a\x30\x02bc") == [b"\x30\x01a", b"\x30\x02bc"]
    assert der_parts(b"\x30\x01a\x30\x03bc") == []
    assert der_parts(b"\x30\x01a!") == []
