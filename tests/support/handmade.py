"""DER made by hand: what no library of today writes and a stranger can send nevertheless."""

import base64
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.x509.authority import Authority

COMMON_NAME = bytes.fromhex("0603550403")
EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")
# ECDSA with each of these
ALGORITHMS = {"sha256": bytes.fromhex("06082a8648ce3d040302"), "sha1": bytes.fromhex("06072a8648ce3d0401")}
_DIGESTS = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}  # noqa: S303


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + body


def name(tag: int, value: bytes) -> bytes:
    """A name of one CN whose value has this tag: 12 is UTF8String, 4 an OCTET STRING, 23 a UTCTime."""
    return tlv(0x30, tlv(0x31, tlv(0x30, COMMON_NAME + tlv(tag, value))))


def signed(tbs: bytes, key: ec.EllipticCurvePrivateKey, digest: str = "sha256") -> bytes:
    signature = key.sign(tbs, ec.ECDSA(_DIGESTS[digest]))
    return tlv(0x30, tbs + tlv(0x30, ALGORITHMS[digest]) + tlv(0x03, b"\0" + signature))


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def request(
    key: ec.EllipticCurvePrivateKey, subject: bytes = b"\x30\x00", attributes: bytes = b"", digest: str = "sha256"
) -> bytes:
    return signed(tlv(0x30, b"\x02\x01\x00" + subject + spki(key) + tlv(0xA0, attributes)), key, digest)


def certificate(key: ec.EllipticCurvePrivateKey, subject: bytes) -> bytes:
    """A certificate that has signed itself and is valid until 2049."""
    validity = tlv(0x30, tlv(0x17, b"200101000000Z") + tlv(0x17, b"491231235959Z"))
    algorithm = tlv(0x30, ALGORITHMS["sha256"])
    tbs = tlv(0xA0, b"\x02\x01\x02") + b"\x02\x01\x05" + algorithm + subject + validity + subject + spki(key)
    return signed(tlv(0x30, tbs), key)


def pem(kind: str, der: bytes) -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


def crl(
    authority: Authority,
    now: datetime,
    *extensions: x509.ExtensionType,
    begins: timedelta = timedelta(hours=-1),
    lifetime: timedelta = timedelta(days=7),
) -> bytes:
    """A PEM CRL of `authority` with these extensions and no others."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now + begins)
        .next_update(now + begins + lifetime)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def key_id(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
