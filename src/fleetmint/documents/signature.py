"""A document that a station signed, as one file that can travel on a stick: format `fleetmint-signed-1`.

    {"format": …, "payload": base64, "certificate": base64 DER of the station's leaf, "signature": base64 DER}

The signature is ECDSA with SHA-256 over the bytes of the payload, by the P-256 key of the certificate: what
`openssl dgst -sha256 -verify` checks (docs/handover.md shows how). The payload is a JSON object that says what it is,
so no signature made for something else can pass for one.

By hand rather than a JWS (RFC 7515, section 3.4 of RFC 7518): that holds a signature as two bare numbers, which openssl
cannot check before somebody has written them anew.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleetmint.errors import RegistrationRefusedError
from fleetmint.x509 import compat, names
from fleetmint.x509.chain import issued_by
from fleetmint.x509.parsing import UnreadableError, parsing, touch

FORMAT = "fleetmint-signed-1"
_FIELDS = ("payload", "certificate", "signature")


@dataclass(frozen=True)
class Signed:
    """What a file says, and who says so: `signature` is checked by `read`, the certificate by `signer` only."""

    payload: bytes
    certificate: x509.Certificate


def sign(payload: bytes, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the file that says `payload` in the name of `certificate`, whose key is `key`."""
    values = {
        "payload": payload,
        "certificate": certificate.public_bytes(serialization.Encoding.DER),
        "signature": key.sign(payload, ec.ECDSA(hashes.SHA256())),
    }
    texts = {name: base64.b64encode(value).decode() for name, value in values.items()}
    return json.dumps({"format": FORMAT, **texts}, indent=1).encode() + b"\n"


def is_signed(data: bytes) -> bool:
    """Whether `data` means to be such a file, however damaged."""
    return FORMAT.encode() in data[:200]


def read(data: bytes) -> Signed:
    """Take a file apart and check its signature; raise RegistrationRefusedError saying what is wrong with it."""
    try:
        with parsing():
            document = json.loads(data)
            if document["format"] != FORMAT or set(document) != {"format", *_FIELDS}:
                raise UnreadableError("another format")
            payload, der, signature = (base64.b64decode(document[name], validate=True) for name in _FIELDS)
            certificate = touch(x509.load_der_x509_certificate(der))
            key = certificate.public_key()
    except UnreadableError as error:
        raise RegistrationRefusedError(
            f"this is no whole signed file ({FORMAT}): it was damaged or cut short, so bring it again from the bench"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise RegistrationRefusedError("the file is signed by a key that is not P-256: only stations sign such files")
    try:
        key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise RegistrationRefusedError(
            "the file is not what was signed: somebody or something has changed it, so bring it again from the bench"
        ) from error
    return Signed(payload, certificate)


def signer(
    signed: Signed, site: str, issuers: Sequence[x509.Certificate], revoked: frozenset[int], now: datetime
) -> str:
    """Return the name of the operator or station that signed; raise RegistrationRefusedError when it may not sign.

    `issuers` are the operator CA of `site`, several while one takes the place of another, and `revoked` the serials on
    their CRLs.
    """
    found = signed.certificate
    name = names.common_name(found.subject) or "?"
    if not any(issued_by(found, issuer) for issuer in issuers):
        raise RegistrationRefusedError(f"the signer {name} has no certificate of this site's operator CA")
    units = [attribute.value for attribute in found.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    if found.subject != names.subject(site, names.OPERATORS_UNIT, name) or units != [names.OPERATORS_UNIT]:
        raise RegistrationRefusedError(f"the signer {found.subject.rfc4514_string()} is no operator of {site}")
    if found.serial_number in revoked:
        raise RegistrationRefusedError(f"the certificate of {name} is revoked: sign with the station's new one")
    if not compat.not_before(found) <= now <= compat.not_after(found):
        raise RegistrationRefusedError(
            f"the certificate of {name} lasts from {compat.not_before(found):%Y-%m-%d} to"
            f" {compat.not_after(found):%Y-%m-%d}, and here it is {now:%Y-%m-%d}: sign with the station's new one, or"
            " set the clock"
        )
    return names.operator_name(name)
