"""IP addresses in certificates, which BearSSL does not match: found byte by byte, and in nothing else."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.c_bearssl import PORT
from tests.support.c_lines import ask, chance_of
from tests.support.firmware_site import make_site


@pytest.fixture(scope="session")
def program(build):
    return build.program("test/address.c", "test/lines.c", "port/bearssl/address.c", flags=PORT)


def found(program, certificate, *addresses, piece=64):
    return [answer for (answer,) in ask(program, [("find", address, certificate, piece) for address in addresses])]


@pytest.fixture(scope="module")
def site():
    return make_site(datetime.now(UTC).replace(microsecond=0))


def test_each_address_of_a_server_is_found_whatever_the_pieces(program, site):
    names = ("gateway.local", "192.0.2.7", "10.0.0.1", "2001:db8::1:0", "::1")
    certificate = site.server(*names).der
    for piece in (1, 2, 7, 64, 4096):
        assert found(program, certificate, *names, piece=piece) == ["name", "yes", "yes", "yes", "yes"]
    others = ("192.0.2.8", "192.0.2.70", "10.0.0.10", "2001:db8::1", "2001:db8::1:1", "::", "0.0.0.1")
    assert found(program, certificate, *others) == ["no"] * len(others)


NO_ADDRESSES = """
1.2.3 1.2.3.4.5 256.1.1.1 1..2.3 1.2.3.04 010.0.0.1 : ::: 1::2::3 12345:: 1:2:3:4:5:6:7 g:: 1:2:3:4:5:6:7:8:9 1: gateway
1:2:3:4:5:6:7:8::
"""


@pytest.mark.parametrize("text", ["", "1.2.3.4 ", *NO_ADDRESSES.split()])
def test_what_is_no_address_is_a_name(program, text):
    with pytest.raises(ValueError, match="does not appear to be"):
        ipaddress.ip_address(text)
    assert found(program, b"", text) == ["name"]


def test_addresses_are_read_as_python_reads_them(program, site):
    chance = chance_of(7)
    for _ in range(50):
        groups = [chance.choice([0, 0, 1, chance.randrange(1 << 16)]) for _ in range(8)]
        address = ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
        certificate = site.server("gateway.local", str(address)).der if address else b""
        assert found(program, certificate, str(address), address.exploded) == ["yes" if address else "no"] * 2


def test_an_address_elsewhere_in_the_certificate_is_none_of_its_names(program, site):
    """The same bytes as a subject, as another extension, or as another kind of name."""
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = ipaddress.ip_address("192.0.2.7")
    names = [x509.DNSName("gateway.local"), x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x87\x04" + wanted.packed)]
    element = b"\x30\x0f\x06\x03\x55\x1d\x11\x04\x08\x30\x06\x87\x04" + wanted.packed
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "192.0.2.7")]))
        .issuer_name(site.server_ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(site.made)
        .not_valid_after(site.made + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x30\x0f" + element), critical=False
        )
        .sign(site.server_ca.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert found(program, certificate, "192.0.2.7") == ["no"]


def test_no_damaged_certificate_does_any_harm(program, site):
    """Whatever the bytes are: the sanitizers end the program when it reads or writes where it must not."""
    chance = chance_of(11)
    good = site.server("gateway.local", "192.0.2.7").der
    questions = []
    for _ in range(4000):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(bad))
            bad[at] = chance.choice([0, 0x7F, 0x80, 0x81, 0x82, 0x83, 0xFF, 0x30, 0xA3, 0x87, chance.randrange(256)])
        if chance.random() < 0.3:
            del bad[chance.randrange(len(bad)) :]
        questions.append(("find", "192.0.2.7", bytes(bad), chance.choice([1, 5, 64, 4096])))
    answers = {answer for (answer,) in ask(program, questions)}
    assert answers == {"yes", "no"}
