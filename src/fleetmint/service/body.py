"""The bodies of enrolment, renewal and recovery: JSON from a stranger, taken apart without trusting any of it."""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from fleetmint.errors import NameRefusedError
from fleetmint.x509 import kinds, names
from fleetmint.x509.request import PEM_BEGIN, REQUEST, RequestRefusedError

# A P-256 request has 300 bytes; this leaves room and keeps floods small.
MAX_BYTES = 8192
# One PEM block and nothing around it; NEW is what keytool and old OpenSSL write (RFC 7468, section 7).
_PEM = re.compile(r"-----BEGIN ((?:NEW )?)CERTIFICATE REQUEST-----[^-]*-----END \1CERTIFICATE REQUEST-----")
_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z ]+-----")
# What `base64` and mail programs break lines with.
_WHITESPACE = str.maketrans("", "", " \t\r\n")


@dataclass(frozen=True)
class Enrolment:
    """What a device asks with: its id, the hash of its token (lower-case hex) and its CSR, DER or PEM.

    `mac` is its board's as it says itself, None when it says none.
    """

    device: str
    token_sha256: str
    csr: bytes
    mac: str | None = None


@dataclass(frozen=True)
class Recovery:
    """What a device asks with whose certificate has ended: that one, DER, and its CSR, DER or PEM."""

    certificate: bytes
    csr: bytes


def read_enrolment(data: bytes) -> Enrolment:
    """Read {"device": ID, "token": text, "csr": base64 of DER, or PEM}, and "mac" where a device says it.

    Raises RequestRefusedError with the code bad_request, bad_name or bad_encoding. The token's own form is not looked
    at, nor that of the MAC: a wrong one must look like any other that is wrong.
    """
    document = _object(data)
    device, token, csr = _texts(document, "device", "token", "csr")
    mac = document.get("mac")
    try:
        names.device_id(device)
    except NameRefusedError as error:
        raise RequestRefusedError("bad_name", str(error)) from error
    return Enrolment(
        device,
        hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest(),
        _csr(csr),
        mac.lower() if isinstance(mac, str) else None,
    )


def read_renewal(data: bytes) -> bytes:
    """Read {"csr": base64 of DER, or PEM} and return the CSR; raise RequestRefusedError as read_enrolment does."""
    (csr,) = _texts(_object(data), "csr")
    return _csr(csr)


def read_recovery(data: bytes) -> Recovery:
    """Read {"certificate": base64 of DER, "csr": base64 of DER, or PEM}; raise as read_enrolment does.

    A certificate that is not base64 is read as an empty one: it must look like any other that is wrong.
    """
    certificate, csr = _texts(_object(data), "certificate", "csr")
    try:
        der = base64.b64decode(certificate.translate(_WHITESPACE), validate=True)
    except ValueError:
        der = b""
    return Recovery(der, _csr(csr))


def read_est(data: bytes) -> bytes:
    """Read base64 of DER, however it is broken into lines (RFC 8951), and return the DER; raise RequestRefusedError.

    PEM is taken, too: it is what clients send that never heard of RFC 8951.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise RequestRefusedError("bad_encoding", "the request is neither base64 nor PEM") from error
    found = _csr(text)
    return _csr(_ARMOUR.sub("", text)) if found.startswith(PEM_BEGIN) else found


def _object(data: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError("bad_request", "the body is not JSON") from error
    return document if isinstance(document, dict) else {}


def _texts(document: dict[str, Any], *wanted: str) -> list[str]:
    texts = [text for name in wanted if isinstance(text := document.get(name), str)]
    if len(texts) < len(wanted):
        listed = f"text{'s' * (len(wanted) > 1)} {', '.join(wanted)}"
        raise RequestRefusedError("bad_request", f"the body has to be a JSON object with the {listed}")
    return texts


def _csr(text: str) -> bytes:
    try:
        stripped = text.strip()
        if "-----BEGIN" in stripped:
            # The PEM reader skips what stands around the block; a request has nothing around it.
            if not _PEM.fullmatch(stripped):
                label = _LABEL.search(stripped)
                found = kinds.words_of(label[1]) if label is not None else None
                but = f"; this is {found}" if found not in (None, REQUEST) else ""
                raise RequestRefusedError(
                    "bad_encoding", f"the PEM has to be one CERTIFICATE REQUEST and nothing else{but}"
                )
            return stripped.encode("ascii")
        return base64.b64decode(text.translate(_WHITESPACE), validate=True)
    except (ValueError, binascii.Error) as error:
        raise RequestRefusedError("bad_encoding", "the request is neither base64 nor PEM") from error
