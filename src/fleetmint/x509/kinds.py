"""What a file is when it is not what was expected, in few words: for the message that refuses it."""

from fleetmint.errors import StateError
from fleetmint.x509 import der, foreign, pem
from fleetmint.x509.parsing import UnreadableError

CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
REQUESTS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_WORDS = {
    **dict.fromkeys(CERTIFICATES, "a certificate"),
    **dict.fromkeys(REQUESTS, "a certificate request"),
    "X509 CRL": "a CRL",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "PRIVATE KEY": "a private key",
    "EC PRIVATE KEY": "a private key",
    "RSA PRIVATE KEY": "a private key",
    "DSA PRIVATE KEY": "a private key",
    "ENCRYPTED PRIVATE KEY": "an encrypted private key",
    "OPENSSH PRIVATE KEY": "an OpenSSH private key",
    "PKCS7": "a PKCS #7 file",
    "CMS": "a CMS message",
    "PKCS12": "a PKCS #12 file",
}


def but(data: bytes, wanted: str) -> str:
    """Return `, but a certificate request` or the like, to go behind "is no …"; empty when nobody knows.

    `wanted` is what it should be, in the words of this file.
    """
    found = kind_of(data)
    if found is None:
        return ""
    return ", or a damaged one" if found.split(" (")[0] == wanted else f", but {found}"


def kind_of(data: bytes) -> str | None:
    """Return in words what `data` is, judged by labels and form: nothing is read, and nothing is raised."""
    try:
        reading = pem.read(data, "it")
    except StateError:
        return None
    if reading.blocks:
        first = reading.blocks[0].label
        words = words_of(first) or foreign.label_finding(first).title
        return words if reading.form is None else f"{words} ({reading.form})"
    label = der.pem_label(_first(data))
    others = foreign.foreign_findings(data) if label is None else []
    if label is not None:
        return words_of(label)
    return others[0].title if others else None


def words_of(label: str) -> str | None:
    """Return what a PEM block with this label holds; None for one of which no more is known."""
    return _WORDS.get(label)


def _first(data: bytes) -> bytes:
    try:
        return der.elements(data)[0].whole if data[:1] == b"\x30" else b""
    except UnreadableError:
        return b""
