"""Certificates, requests, CRLs, keys and PKCS #12 files in plain words: what they are, and never a secret of theirs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetmint.errors import StateError
from fleetmint.pki import bundle as bundles
from fleetmint.pki import compat, names, revocation
from fleetmint.pki.parsing import UnreadableError, parsing, touch
from fleetmint.pki.pkcs12 import is_pkcs12, open_pkcs12

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}
# Everything a parser of this library raises for content that is not what it should be.
BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)

Ask = Callable[[], bytes]


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a file. `facts` can go into JSON as they are; `title` is the thing in words."""

    kind: str
    title: str
    facts: Mapping[str, Any]


def read_certificates(data: bytes, what: str) -> list[x509.Certificate]:
    """Return the certificates in `data`, PEM or DER, one after the other; raise StateError when it holds none."""
    try:
        with parsing():
            if b"-----BEGIN CERTIFICATE-----" in data:
                return [touch(found) for found in x509.load_pem_x509_certificates(data)]
            found = [touch(x509.load_der_x509_certificate(part)) for part in der_parts(data)]
    except UnreadableError as error:
        raise StateError(f"{what} is no certificate: give a PEM or DER file of one") from error
    if not found:
        raise StateError(f"{what} is no certificate: give a PEM or DER file of one")
    return found


def inspect(data: bytes, now: datetime, ask: Ask, what: str) -> list[Finding]:
    """Return what X.509 and PKCS things `data` holds, in its order; empty when it is nothing of that kind.

    `ask` is called for the password of a PKCS #12 file, and for nothing else: an encrypted key is not opened.
    """
    blocks = [(match[1].decode(), match[0]) for match in _PEM.finditer(data)]
    if blocks:
        return [_pem_block(kind, block, now, what) for kind, block in blocks]
    if is_pkcs12(data):
        return _pkcs12(data, now, ask, what)
    if data.startswith(bundles.MAGIC):
        return bundle_findings(data, now, what)
    return [finding for part in der_parts(data) if (finding := _der(part, now)) is not None]


def der_parts(data: bytes) -> list[bytes]:
    """Split DER sequences that lie one after the other; empty when `data` is anything else."""
    parts, at = [], 0
    while at < len(data):
        if data[at : at + 1] != b"\x30" or at + 2 > len(data):
            return []
        length, header = data[at + 1], 2
        if length >= 0x80:
            header += length & 0x7F
            length = int.from_bytes(data[at + 2 : at + header], "big")
        end = at + header + length
        if end > len(data) or header > 6:
            return []
        parts.append(data[at:end])
        at = end
    return parts


def bundle_findings(data: bytes, now: datetime, what: str) -> list[Finding]:
    """Describe a trust bundle and the server CAs in it; raise StateError when it is damaged."""
    bundle = bundles.decode(data, what)
    facts = {"label": bundle.label, "bytes": len(data), "signed": bundle.is_signed(), "says": bundles.describe(bundle)}
    title = f"the trust bundle {bundle.label} of {bundle.site}"
    if not bundle.is_signed():
        title += ", not signed by the release key that it names"
    anchors = [certificate_finding(x509.load_der_x509_certificate(anchor), now) for anchor in bundle.anchors]
    return [Finding("trust bundle", title, facts), *anchors]


def certificate_finding(certificate: x509.Certificate, now: datetime) -> Finding:
    """Describe one certificate."""
    try:
        with parsing():
            return _certificate(touch(certificate), now)
    except UnreadableError as error:
        return Finding("certificate", "a certificate with damaged fields", {"problem": str(error)})


def public_key_text(key: object) -> str:
    """Return the kind and size of a public key, such as `EC P-256`."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return type(key).__name__.strip("_")


def time_text(moment: datetime) -> str:
    """Return a time as it goes into JSON."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def days_left(end: datetime, now: datetime) -> int:
    """Return the whole days until `end`, negative when it has passed."""
    return (end - now).days


def _pem_block(kind: str, block: bytes, now: datetime, what: str) -> Finding:
    try:
        if kind == "CERTIFICATE":
            return certificate_finding(x509.load_pem_x509_certificate(block), now)
        if kind in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
            return _request(x509.load_pem_x509_csr(block.replace(b"NEW CERTIFICATE", b"CERTIFICATE")))
        if kind == "X509 CRL":
            return _crl(x509.load_pem_x509_crl(block), now)
        if kind == "PUBLIC KEY":
            return _public_key(serialization.load_pem_public_key(block))
        if kind.endswith("PRIVATE KEY"):
            if b"ENCRYPTED" in block:
                return Finding("private key", "a private key, encrypted", {"encrypted": True, "form": kind})
            key = serialization.load_pem_private_key(block, None)
            return _private_key(key.public_key(), kind)
    except BROKEN as error:
        raise StateError(f"the {kind.lower()} in {what} is damaged: restore the file from a backup") from error
    return Finding("unknown", f"a PEM block {kind!r}, which this command does not know", {"pem": kind})


def _der(part: bytes, now: datetime) -> Finding | None:
    """Try what it may be: DER does not say."""
    tries: tuple[Callable[[], Finding], ...] = (
        lambda: certificate_finding(x509.load_der_x509_certificate(part), now),
        lambda: _request(x509.load_der_x509_csr(part)),
        lambda: _crl(x509.load_der_x509_crl(part), now),
        lambda: _private_key(serialization.load_der_private_key(part, None).public_key(), "DER"),
        lambda: _public_key(serialization.load_der_public_key(part)),
    )
    for attempt in tries:
        try:
            return attempt()
        except BROKEN as error:
            if isinstance(error, TypeError):  # the answer of an encrypted key that gets no password
                return Finding("private key", "a private key, encrypted", {"encrypted": True, "form": "DER"})
    return None


def _pkcs12(data: bytes, now: datetime, ask: Ask, what: str) -> list[Finding]:
    held = open_pkcs12(data, ask(), what)
    found = [Finding("PKCS #12", "key and certificate of a person, encrypted", {"encrypted": True, "bytes": len(data)})]
    if held.key is not None:
        found.append(_private_key(held.key.public_key(), "PKCS #12"))
    for entry in (held.cert, *held.additional_certs):
        if entry is not None:
            found.append(certificate_finding(entry.certificate, now))
    return found


def _certificate(certificate: x509.Certificate, now: datetime) -> Finding:
    end = compat.not_after(certificate)
    basic = _value(certificate, x509.BasicConstraints)
    usages = [_USAGES.get(oid, oid.dotted_string) for oid in _value(certificate, x509.ExtendedKeyUsage) or []]
    facts: dict[str, Any] = {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "not_before": time_text(compat.not_before(certificate)),
        "not_after": time_text(end),
        "days_left": days_left(end, now),
        "key": public_key_text(certificate.public_key()),
        "key_sha256": _digest(_spki(certificate.public_key())),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "usages": usages,
        "names": [str(name.value) for name in _value(certificate, x509.SubjectAlternativeName) or []],
        "ca": basic is not None and basic.ca,
    }
    if facts["ca"]:
        facts["path_length"] = None if basic is None else basic.path_length
        constraints = _value(certificate, x509.NameConstraints)
        bases = [] if constraints is None else constraints.permitted_subtrees or []
        facts["only_under"] = [base.value.rfc4514_string() for base in bases if isinstance(base, x509.DirectoryName)]
    return Finding("certificate", _certificate_title(certificate, facts), facts)


def _certificate_title(certificate: x509.Certificate, facts: Mapping[str, Any]) -> str:
    name = names.common_name(certificate.subject) or "nobody"
    if facts["ca"]:
        what = "the root CA" if certificate.subject == certificate.issuer else "a CA"
        return f"{what} called {name!r}" + (f" for {facts['usages'][0]}s" if facts["usages"] else "")
    units = [str(found.value) for found in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    whose = {names.DEVICES_UNIT: "the device", names.OPERATORS_UNIT: "the operator", names.GATEWAYS_UNIT: "the gateway"}
    who = whose.get(units[0] if units else "", "somebody called")
    when = f"{facts['days_left']} days left" if facts["days_left"] >= 0 else f"ended {-facts['days_left']} days ago"
    return f"a certificate of {who} {name}, {when}"


def _request(csr: x509.CertificateSigningRequest) -> Finding:
    valid = csr.is_signature_valid
    sans = _value(csr, x509.SubjectAlternativeName)
    facts = {
        "subject": csr.subject.rfc4514_string(),
        "key": public_key_text(csr.public_key()),
        "key_sha256": _digest(_spki(csr.public_key())),
        "signature_valid": valid,
        "names": [str(name.value) for name in sans or []],
    }
    state = "signed by its own key" if valid else "NOT signed by its own key"
    return Finding("certificate request", f"a request for {facts['subject'] or 'an empty subject'}, {state}", facts)


def _crl(crl: x509.CertificateRevocationList, now: datetime) -> Finding:
    end = compat.next_update(crl)
    number = revocation.usable_number(crl)
    rows = [
        {"serial": f"{entry.serial:x}", "since": time_text(entry.at), "reason": entry.reason}
        for entry in revocation.entries(crl)
    ]
    facts = {
        "issuer": crl.issuer.rfc4514_string(),
        "number": number,
        "last_update": time_text(compat.last_update(crl)),
        "next_update": time_text(end),
        "days_left": days_left(end, now),
        "revoked": rows,
    }
    issuer = names.common_name(crl.issuer) or facts["issuer"]
    return Finding("CRL", f"the CRL number {number} of {issuer!r}: {len(rows)} revoked", facts)


def _private_key(public: object, form: str) -> Finding:
    facts = {"encrypted": False, "form": form, "key": public_key_text(public), "key_sha256": _digest(_spki(public))}
    return Finding("private key", f"a private key, {facts['key']}, not encrypted", facts)


def _public_key(public: object) -> Finding:
    facts = {"key": public_key_text(public), "key_sha256": _digest(_spki(public))}
    return Finding("public key", f"a public key, {facts['key']}", facts)


def _value(thing: Any, kind: Any) -> Any:
    try:
        return thing.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _spki(key: Any) -> bytes:
    spki: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return spki


def _digest(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
