"""Whether one certificate was issued by another: one step of a chain, without dates and usages."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.x509 import names


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate` and is named in it. False, never an error, for what cannot be checked."""
    # Certificate.verify_directly_issued_by does this from cryptography 40 on; Debian 12 has 38.
    try:
        key = issuer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        digest = certificate.signature_hash_algorithm
        if certificate.issuer != issuer.subject or digest is None:
            return False
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(digest))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def title(certificate: x509.Certificate) -> str:
    """Return the name to call a certificate by."""
    return names.common_name(certificate.subject) or certificate.subject.rfc4514_string() or "a nameless certificate"
