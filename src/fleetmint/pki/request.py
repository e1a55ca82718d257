"""Certificate requests from strangers: what is taken from them, and everything that is refused.

A device's request contributes its public key and the proof that the sender holds the private one. Names come from the
ledger, so the subject may be empty or say the device's own CN, and nothing else may be asked for.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from fleetmint.errors import FleetmintError
from fleetmint.pki import keys
from fleetmint.pki.parsing import UnreadableError, parsing, touch_name

MAX_BYTES = 8192
PEM_BEGIN = b"-----BEGIN"
# The same thing under an older name (RFC 7468, section 7).
_NEW, _PLAIN = b"NEW CERTIFICATE REQUEST-----", b"CERTIFICATE REQUEST-----"
# Broken hashes, and how people call them. The library does not check a signature with one, so it has to be told first.
_WEAK = {"sha1": "SHA-1", "md5": "MD5"}


class RequestRefusedError(FleetmintError):
    """A certificate request asks for what it must not, or cannot be read. `code` is the reason for a machine."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Request:
    """What a good request contributes. `common_name` is None when the subject is empty."""

    public_key: ec.EllipticCurvePublicKey
    common_name: str | None
    spki_sha256: bytes


def read_request(data: bytes) -> Request:
    """Read a PKCS #10 request (RFC 2986), PEM or DER.

    Raises RequestRefusedError with one of the codes too_large, bad_encoding, bad_signature, bad_key, bad_name,
    bad_extension.
    """
    if len(data) > MAX_BYTES:
        raise RequestRefusedError("too_large", f"the request has more than {MAX_BYTES} bytes")
    _refuse_several(data)
    try:
        with parsing():
            csr = _load(data)
            touch_name(csr.subject)
            subject = list(csr.subject)
            extensions = [extension.oid for extension in csr.extensions]
            key = csr.public_key()
            weak = weak_hash(csr)
            valid = weak is None and csr.is_signature_valid
    except UnreadableError as error:
        raise RequestRefusedError("bad_encoding", "the request cannot be read as PKCS #10") from error
    _refuse_weak(weak)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise RequestRefusedError("bad_key", "the key has to be EC on the curve P-256")
    if not valid:
        raise RequestRefusedError("bad_signature", "the request is not signed by its own key")
    if extensions:
        raise RequestRefusedError("bad_extension", "the request asks for extensions; leave them out")
    if not subject:
        return Request(key, None, keys.spki_sha256(key))
    if [attribute.oid for attribute in subject] != [NameOID.COMMON_NAME]:
        raise RequestRefusedError("bad_name", "the subject has to be empty or one CN")
    return Request(key, str(subject[0].value), keys.spki_sha256(key))


def read_host_request(data: bytes) -> keys.PublicKey:
    """Return the public key of a gateway's own request; its names are ignored, since the site's inventory decides them.

    Which kind of key is good is for the profile to say.

    Raises RequestRefusedError as read_request does.
    """
    _refuse_several(data)
    try:
        with parsing():
            csr = _load(data)
            key, weak = csr.public_key(), weak_hash(csr)
            valid = weak is None and csr.is_signature_valid
    except UnreadableError as error:
        raise RequestRefusedError("bad_encoding", "the request cannot be read as PKCS #10") from error
    _refuse_weak(weak)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) or not valid:
        raise RequestRefusedError("bad_key", "the request has to hold an EC or RSA key and be signed by it")
    return key


def weak_hash(csr: x509.CertificateSigningRequest) -> str | None:
    """Return the name of the hash that a request is signed with when that is a broken one."""
    try:
        found = csr.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return None if found is None else _WEAK.get(found.name)


def check_self_signed(csr: x509.CertificateSigningRequest) -> bool:
    """Whether the key of a request has signed it, also with a broken hash: to say which of the two is wrong."""
    key, digest = csr.public_key(), csr.signature_hash_algorithm
    if weak_hash(csr) is None or digest is None:
        return csr.is_signature_valid
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(csr.signature, csr.tbs_certrequest_bytes, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(csr.signature, csr.tbs_certrequest_bytes, padding.PKCS1v15(), digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _refuse_weak(found: str | None) -> None:
    if found is not None:
        raise RequestRefusedError(
            "bad_signature", f"the request is signed with {found}, which is not taken: sign it with SHA-256"
        )


def _refuse_several(data: bytes) -> None:
    if data.count(PEM_BEGIN) > 1:
        raise RequestRefusedError("bad_encoding", "more than one PEM block")


def _load(data: bytes) -> x509.CertificateSigningRequest:
    if data.lstrip().startswith(PEM_BEGIN):
        return x509.load_pem_x509_csr(data.replace(_NEW, _PLAIN))
    csr = x509.load_der_x509_csr(data)
    if csr.public_bytes(serialization.Encoding.DER) != data:
        raise UnreadableError("there is something behind the request")
    return csr
