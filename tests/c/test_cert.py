"""What the C core reads out of certificates, as cryptography has it."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.c_lines import ask, data
from tests.support.firmware_site import make_site

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def self_signed(key, begins, ends):
    name = x509.Name.from_rfc4514_string("CN=a name,O=workshop")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())


def seconds(time):
    return min(max(int((time - EPOCH).total_seconds()), 0), 0xFFFFFFFF)


def check(answer, certificate):
    result, serial, issuer, subject, begins, ends, info, point = answer
    assert result == "0"
    assert int(serial, 16) == certificate.serial_number
    assert (data(issuer), data(subject)) == (certificate.issuer.public_bytes(), certificate.subject.public_bytes())
    assert int(begins) == seconds(certificate.not_valid_before_utc)
    assert int(ends) == seconds(certificate.not_valid_after_utc)
    public = certificate.public_key()
    assert data(info) == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    is_p256 = isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp256r1"
    wanted = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) if is_p256 else b""
    assert data(point) == wanted


def test_certificates_of_a_site_are_read(parsers, now):
    site = make_site(now)
    certificates = [site.root.certificate, site.server_ca.certificate, site.device_ca.certificate]
    certificates += [site.server("gateway.local", "192.0.2.1").certificate, site.device().certificate]
    answers = ask(parsers, [("cert", each.public_bytes(Encoding.DER)) for each in certificates])
    for answer, certificate in zip(answers, certificates, strict=True):
        check(answer, certificate)


KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "k256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_of_every_kind_of_key_and_time_are_read(parsers, kind):
    key = KINDS[kind]()
    spans = [
        ("1950-01-01", "1999-12-31T23:59:59"),
        ("2026-02-03T04:05:06", "2049-12-31"),
        ("2050-01-01", "9999-12-31T23:59:59"),
        ("2024-02-29", "2136-01-01"),
    ]
    spans = [[datetime.fromisoformat(time).replace(tzinfo=UTC) for time in span] for span in spans]
    certificates = [self_signed(key, begins, ends) for begins, ends in spans]
    answers = ask(parsers, [("cert", each.public_bytes(Encoding.DER)) for each in certificates])
    for answer, certificate in zip(answers, certificates, strict=True):
        check(answer, certificate)


def test_a_certificate_that_is_cut_or_has_something_behind_it_is_refused(parsers, now):
    key = ec.generate_private_key(ec.SECP256R1())
    whole = self_signed(key, now, now + timedelta(days=1)).public_bytes(Encoding.DER)
    assert whole[:2] == b"\x30\x82"
    cut = [whole[:size] for size in range(len(whole))]
    # lengths that are not the shortest, or not there
    other = [whole + b"\0", b"\x30\x83\x00" + whole[2:], b"\x30\x80" + whole[4:]]
    answers = ask(parsers, [("cert", each) for each in (whole, *cut, *other)])
    assert answers[0][0] == "0"
    assert answers[1:] == [["BAD"]] * (len(cut) + len(other))
