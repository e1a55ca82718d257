"""What `inspect` says about files of every kind, and what it never says."""

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fleetmint.errors import SecretError, StateError
from fleetmint.x509 import keys, pkcs12, revocation
from fleetmint.x509.authority import pem
from fleetmint.x509.inspect import der_parts, inspect, read_certificates

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
    assert finding.title == "a certificate of the operator alice@test, 800 days left"
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
    finding = inspect(pem(leaf[1]), now + timedelta(days=835), bytes, "x")[0]
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


@pytest.fixture
def made(openssl, tmp_path):
    """What OpenSSL makes of a key that it made itself."""

    def run(key_arguments, *arguments):
        key = tmp_path / "key.pem"
        key.write_bytes(openssl(*key_arguments).stdout)
        done = openssl(*arguments, "-key", key, "-subj", "/CN=x")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


P256 = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("genrsa", "2048")
SM2 = ("ecparam", "-name", "SM2", "-genkey", "-noout")


@pytest.mark.parametrize(
    ("key", "digest", "name"), [(P256, "sha1", "SHA-1"), (RSA, "sha1", "SHA-1"), (RSA, "md5", "MD5")]
)
def test_a_request_signed_with_a_broken_hash_is_told_by_it(look, made, key, digest, name):
    good = made(key, "req", "-new", f"-{digest}")
    (finding,) = look(good)
    assert f"signed by its own key with {name}, which is not taken" in finding.title
    assert (finding.facts["signed_with"], finding.facts["signature_valid"]) == (name, True)
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(DER))
    der[-1] ^= 1
    assert "NOT signed by its own key" in look(bytes(der))[0].title


def test_a_request_signed_with_pss_and_sha1_is_told_by_that(look, made):
    (finding,) = look(made(RSA, "req", "-new", "-sha1", "-sigopt", "rsa_padding_mode:pss"))
    assert "with SHA-1, which is not taken" in finding.title


def test_what_sm2_made_is_called_that(look, made, openssl):
    (request,) = look(made(SM2, "req", "-new"))
    assert request.title.startswith("a request for CN=x, whose signature cannot be checked here")
    assert (request.facts["key"], request.facts["signed_with"]) == ("SM2", "SM3")
    certificate = made(SM2, "req", "-x509")
    (finding,) = look(certificate)
    assert finding.title == "the root CA called 'x', for a key of the kind SM2, which nothing here can use"
    with pytest.raises(
        StateError, match="the certificate in the file is for a key of the kind SM2, which nothing here"
    ):
        read_certificates(certificate, "the file")
    assert look(openssl(*SM2).stdout)[0].title == "a private key, SM2, not encrypted"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("genpkey", "-algorithm", "ED448"), "Ed448"),
        (("ecparam", "-name", "brainpoolP256r1", "-genkey", "-noout"), "EC brainpoolP256r1"),
        (("ecparam", "-name", "secp256k1", "-genkey", "-noout"), "EC secp256k1"),
        (("ecparam", "-name", "wap-wsg-idm-ecid-wtls9", "-genkey", "-noout"), "EC 2.23.43.1.4.9"),
        (RSA, "RSA 2048"),
    ],
)
def test_keys_that_are_not_certified_are_named_with_what_to_do(look, made, key, name):
    (finding,) = look(made(key, "req", "-new"))
    assert finding.title.endswith(f"for a key of the kind {name}")
    assert "ec_paramgen_curve:P-256" in finding.facts["what_to_do"]


def test_a_certificate_signed_with_sha1_is_told(look, made):
    (finding,) = look(made(RSA, "req", "-x509", "-sha1"))
    assert finding.title.endswith("signed with SHA-1, which is not taken")


def test_a_block_inside_of_a_program_is_described_and_told(look, leaf):
    text = pem(leaf[1]).decode()
    found = look(json.dumps({"certificate": text}).encode())
    assert [finding.kind for finding in found] == ["text", "certificate"]
    assert found[0].title == "PEM inside of JSON"
    assert found[1:] == look(text.encode())


def test_a_flash_that_holds_pem_somewhere_is_no_pem_file(look, leaf):
    assert look(b"\xe9" + b"\xff" * 64 + pem(leaf[1]) + bytes(64)) == []


def test_a_block_with_another_label_than_its_content_is_told(look, leaf):
    text = pem(leaf[1]).replace(b"CERTIFICATE", b"CERTIFICATE REQUEST")
    with pytest.raises(StateError, match="is labelled CERTIFICATE REQUEST, and what is in it is a certificate"):
        look(text)


def test_der_with_something_behind_it_is_told(look, leaf):
    data = leaf[1].public_bytes(DER)
    with pytest.raises(StateError, match=f"begins with a certificate of {len(data)} bytes, and has 1 bytes behind it"):
        look(data + b"\n")


def test_pkcs7_and_trusted_certificates_show_what_is_in_them(look, leaf, openssl):
    made = openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", data=pem(leaf[1])).stdout
    found = look(made)
    assert found[0].title == "a PKCS #7 file with 1 certificates"
    assert found[1:] == look(pem(leaf[1]))
    trusted = openssl("x509", "-trustout", "-addtrust", "clientAuth", data=pem(leaf[1])).stdout
    assert b"TRUSTED CERTIFICATE" in trusted
    assert look(trusted) == look(pem(leaf[1]))


def test_an_encrypted_key_of_old_openssl_is_not_opened(look, openssl):
    key = openssl("ecparam", "-name", "prime256v1", "-genkey").stdout
    assert [finding.title for finding in look(key)] == [
        "the name of a curve, which OpenSSL writes in front of a key", "a private key, EC P-256, not encrypted",
    ]  # fmt: skip
    assert look(openssl("ec", "-aes128", "-passout", "pass:x", data=key).stdout)[0].title == "a private key, encrypted"


@pytest.mark.parametrize("kind", ["request", "key", "CRL"])
def test_something_else_where_a_certificate_was_expected_is_called_what_it_is(hierarchy, now, kind):
    key = keys.new_key()
    crl = revocation.build_crl(hierarchy.authority("factory"), [], number=1, now=now, lifetime=timedelta(days=30))
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    data, name = {
        "request": (csr.public_bytes(DER), "a certificate request"),
        "key": (keys.plain_pem(key), "a private key"),
        "CRL": (revocation.crl_pem(crl), "a CRL"),
    }[kind]
    with pytest.raises(StateError, match=f"the file is no certificate, but {name}: give a PEM or DER file of one"):
        read_certificates(data, "the file")


def test_something_else_where_a_crl_or_a_key_was_expected_is_called_what_it_is(leaf):
    with pytest.raises(StateError, match="the file is no CRL, but a certificate"):
        revocation.read_crl(pem(leaf[1]), "the file")
    with pytest.raises(StateError, match="the file is no private key, but a certificate"):
        keys.load_key(pem(leaf[1]), None, "the file")


def test_a_key_that_the_library_does_not_know_is_refused_in_a_sentence(openssl):
    with pytest.raises(StateError, match="the file is no private key"):
        keys.load_key(openssl(*SM2).stdout, None, "the file")
