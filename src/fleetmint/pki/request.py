"""Certificate requests from strangers: what is taken from them, and everything that is refused.

A device's request contributes its public key and the proof that the sender holds the private one. Names come from the
ledger, so the subject may be empty or say the device's own CN, and nothing else may be asked for.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fleetmint.errors import FleetmintError
from fleetmint.pki import keys

MAX_BYTES = 8192
PEM_BEGIN = b"-----BEGIN"


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
    # Fields are parsed when they are touched, and a broken one raises whatever it likes: touch them all in here.
    try:
        csr = _load(data)
        subject = list(csr.subject)
        extensions = [extension.oid for extension in csr.extensions]
        key = csr.public_key()
        valid = csr.is_signature_valid
    except RequestRefusedError:
        raise
    except Exception as error:
        raise RequestRefusedError("bad_encoding", "the request cannot be read as PKCS #10") from error
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
    try:
        csr = _load(data)
        key, valid = csr.public_key(), csr.is_signature_valid
    except Exception as error:
        raise RequestRefusedError("bad_encoding", "the request cannot be read as PKCS #10") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) or not valid:
        raise RequestRefusedError("bad_key", "the request has to hold an EC or RSA key and be signed by it")
    return key


def _load(data: bytes) -> x509.CertificateSigningRequest:
    if not data.lstrip().startswith(PEM_BEGIN):
        csr = x509.load_der_x509_csr(data)
        if csr.public_bytes(serialization.Encoding.DER) != data:
            raise RequestRefusedError("bad_encoding", "there is something behind the request")
        return csr
    if data.count(PEM_BEGIN) != 1:
        raise RequestRefusedError("bad_encoding", "more than one PEM block")
    return x509.load_pem_x509_csr(data)
