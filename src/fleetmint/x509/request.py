"""Certificate requests from strangers: what is taken from them, and everything that is refused.

A device's request contributes its public key and the proof that the sender holds the private one. Names come from the
ledger, so the subject may be empty, the device's own CN, or all of what its certificate says, and nothing else may be
asked for.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.x509.oid import NameOID

from fleetmint.errors import FleetmintError
from fleetmint.x509 import der, keys, kinds, weak_keys
from fleetmint.x509.parsing import UnreadableError, parsing, touch_name

MAX_BYTES = 8192
PEM_BEGIN = b"-----BEGIN"
REQUEST = "a certificate request"
# The last is what a device's certificate has: whoever renews by RFC 7030 (4.2.2) has to repeat it.
_SUBJECTS = (
    (),
    (NameOID.COMMON_NAME,),
    (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME),
)
# NULL is what old programs write where nothing belongs.
_NO_PARAMETERS = (b"", b"\x05\x00")
_HOST_KEY = "the request has to hold an EC or RSA key, and this one is {}"
# The same thing under an older name (RFC 7468, section 7).
_NEW, _PLAIN = b"NEW CERTIFICATE REQUEST-----", b"CERTIFICATE REQUEST-----"
# What a request may be signed with. The library calls a signature with another one wrong, or takes it, by its version.
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA-224": hashes.SHA224(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}
# To say whether it was the request's own key that signed with one which is broken.
_OTHERS: dict[str, hashes.HashAlgorithm] = {"SHA-1": hashes.SHA1(), "MD5": hashes.MD5()}  # noqa: S303


class RequestRefusedError(FleetmintError):
    """A certificate request asks for what it must not, or cannot be read. `code` is the reason for a machine."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Request:
    """What a good request contributes. `subject` is empty, the CN, or O, OU and CN."""

    public_key: ec.EllipticCurvePublicKey
    subject: tuple[str, ...]
    spki_sha256: bytes


def read_request(data: bytes) -> Request:
    """Read a PKCS #10 request (RFC 2986), PEM or DER.

    Raises RequestRefusedError with one of the codes too_large, bad_encoding, bad_hash, bad_signature, bad_key,
    bad_name, bad_extension, weak_key.
    """
    if len(data) > MAX_BYTES:
        raise RequestRefusedError("too_large", f"the request has more than {MAX_BYTES} bytes")
    csr, said = _parse(data)
    if said.key != der.P256:
        raise _bad_key(f"the key has to be EC on the curve P-256, and this one is {said.key}", said)
    _refuse_hash(said)
    if said.parameters not in _NO_PARAMETERS:
        # The signature does not cover them, and one version of the library takes anything there.
        raise RequestRefusedError("bad_encoding", "ECDSA has no parameters (RFC 5758, 3.2), and this request has some")
    try:
        with parsing():
            touch_name(csr.subject)
            subject = list(csr.subject)
            extensions = [extension.oid for extension in csr.extensions]
            key, valid = csr.public_key(), csr.is_signature_valid
    except UnreadableError as error:
        raise _unreadable(data) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise RequestRefusedError("bad_key", "the key has to be EC on the curve P-256")
    if not valid:
        raise RequestRefusedError("bad_signature", "the request is not signed by its own key")
    if weak_keys.is_weak(key):
        raise RequestRefusedError("weak_key", "everybody knows the private key of this one: make a new key")
    if extensions:
        raise RequestRefusedError("bad_extension", "the request asks for extensions; leave them out")
    if tuple(attribute.oid for attribute in subject) not in _SUBJECTS:
        raise RequestRefusedError("bad_name", "the subject has to be empty, one CN, or O, OU and CN of the certificate")
    return Request(key, tuple(str(attribute.value) for attribute in subject), keys.spki_sha256(key))


def read_host_request(data: bytes) -> keys.PublicKey:
    """Return the public key of a gateway's own request; its names are ignored, since the site's inventory decides them.

    Which kind of key is good is for the profile to say.

    Raises RequestRefusedError as read_request does.
    """
    csr, said = _parse(data)
    try:
        with parsing():
            key, valid = csr.public_key(), csr.is_signature_valid
    except UnreadableError as error:
        raise _bad_key(_HOST_KEY.format(said.key), said) from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise _bad_key(_HOST_KEY.format(said.key), said)
    _refuse_hash(said)
    if not valid:
        raise RequestRefusedError("bad_signature", "the request is not signed by its own key")
    return key


def refused_hash(said: der.Signed) -> str | None:
    """Return why the hash that a request is signed with is not taken; None when it is, or when it is signed without."""
    if said.hash is None or said.hash in _HASHES:
        return None
    return f"the request is signed with {said.hash}, which is not taken: sign it with SHA-256"


def check_self_signed(csr: x509.CertificateSigningRequest, said: der.Signed) -> bool | None:
    """Whether the key of a request has signed it, also with a broken hash; None where the library cannot tell."""
    digest = {**_HASHES, **_OTHERS}.get(said.hash or "")
    try:
        key, signature, signed = csr.public_key(), csr.signature, csr.tbs_certrequest_bytes
        if digest is None:
            return csr.is_signature_valid or (None if said.hash else False)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
        elif isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, signed, digest)
        elif isinstance(key, rsa.RSAPublicKey) and not said.pss:
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        else:
            return csr.is_signature_valid
    except InvalidSignature:
        return False
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return None
    return True


def _parse(data: bytes) -> tuple[x509.CertificateSigningRequest, der.Signed]:
    if data.count(PEM_BEGIN) > 1:
        raise RequestRefusedError("bad_encoding", "more than one PEM block")
    try:
        with parsing():
            csr = _load(data)
            said = der.request(csr.public_bytes(serialization.Encoding.DER))
    except UnreadableError as error:
        raise _unreadable(data) from error
    return csr, said


def _bad_key(message: str, said: der.Signed) -> RequestRefusedError:
    refusal = refused_hash(said)  # whoever makes another key had better know this, too
    return RequestRefusedError("bad_key", message if refusal is None else f"{message}; {refusal}")


def _refuse_hash(said: der.Signed) -> None:
    refusal = refused_hash(said)
    if refusal is not None:
        raise RequestRefusedError("bad_hash", refusal)


def _unreadable(data: bytes) -> RequestRefusedError:
    found = kinds.kind_of(data)
    if found is None or found.startswith(REQUEST):
        return RequestRefusedError("bad_encoding", "the request cannot be read as PKCS #10")
    return RequestRefusedError("bad_encoding", f"this is no certificate request (PKCS #10), but {found}")


def _load(data: bytes) -> x509.CertificateSigningRequest:
    if data.lstrip().startswith(PEM_BEGIN):
        return x509.load_pem_x509_csr(data.replace(_NEW, _PLAIN))
    csr = x509.load_der_x509_csr(data)
    if csr.public_bytes(serialization.Encoding.DER) != data:
        raise UnreadableError("there is something behind the request")
    return csr
