"""Certificates, requests, CRLs, keys and PKCS #12 files in plain words: what they are, and never a secret of theirs."""

import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetmint.errors import StateError
from fleetmint.x509 import compat, der, foreign, kinds, names, pem, revocation
from fleetmint.x509.finding import Finding
from fleetmint.x509.kinds import CERTIFICATES, REQUESTS
from fleetmint.x509.parsing import UnreadableError, parsing, touch, touch_fields
from fleetmint.x509.pkcs12 import is_pkcs12, open_pkcs12
from fleetmint.x509.request import check_self_signed, refused_hash

_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}
# Everything a parser of this library raises for content that is not what it should be.
BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_CERTIFIED = (der.P256, "RSA 3072")
# What the library reads in every version.
_LOADED = ("RSA", "DSA", "Ed25519", "Ed448", "X25519", "X448", "EC P-256", "EC P-384", "EC P-521")
_OTHER_KEY = (
    "devices have EC keys on P-256, servers and clients those or RSA-3072: openssl genpkey -algorithm EC -pkeyopt"
    " ec_paramgen_curve:P-256"
)

Ask = Callable[[], bytes]

__all__ = ["BROKEN", "Ask", "Finding", "inspect", "read_certificates"]


def read_certificates(data: bytes, what: str) -> list[x509.Certificate]:
    """Return the certificates in `data`, PEM or DER, one after the other.

    Raises StateError when it holds none, which says what it is instead.
    """
    blocks = [block.data for block in pem.read(data, what).blocks if block.label in CERTIFICATES]
    parts = blocks or der_parts(data)
    try:
        with parsing():
            found = [touch(x509.load_der_x509_certificate(_first(part))) for part in parts]
    except UnreadableError as error:
        raise StateError(_no_certificate(parts, data, what)) from error
    if not found:
        raise StateError(f"{what} is no certificate{kinds.but(data, 'a certificate')}: give a PEM or DER file of one")
    return found


def _no_certificate(parts: list[bytes], data: bytes, what: str) -> str:
    for part in parts:
        try:
            said = der.certificate(_first(part))
        except UnreadableError:
            continue
        if said.key not in _LOADED and not said.key.startswith("EC "):
            return f"the certificate in {what} is for a key of the kind {said.key}, which nothing here can use"
        if said.hash not in (None, *der.BROKEN_HASHES) and not said.hash.startswith("SHA"):
            return f"the certificate in {what} is signed with {said.hash}, which nothing here can check"
    but = kinds.but(data, "a certificate")
    return f"{what} is no certificate{but}: give a PEM or DER file of one"


def inspect(data: bytes, now: datetime, ask: Ask, what: str) -> list[Finding]:
    """Return what X.509 and PKCS things `data` holds, in its order; empty when it is nothing of that kind.

    `ask` is called for the password of a PKCS #12 file, and for nothing else: an encrypted key is not opened.
    """
    if is_pkcs12(data):
        return _pkcs12(data, now, ask, what)
    reading = pem.read(data, what)
    if reading.blocks:
        found = [finding for block in reading.blocks for finding in _block(block, now, ask, what)]
        if reading.form is None:
            return found
        advice = "other programs want the file itself: PEM or DER without anything around it"
        return [Finding("text", reading.form, {"what_to_do": advice}), *found]
    return _der(data, now, ask, what) or foreign.foreign_findings(data)


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


def text_time(text: str) -> datetime:
    """Return the time of a text that `time_text` has made; raise ValueError for any other."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def certificate_finding(certificate: x509.Certificate, now: datetime) -> Finding:
    """Describe one certificate."""
    try:
        with parsing():
            touch_fields(certificate)
            return _certificate(certificate, now)
    except UnreadableError as error:
        return Finding("certificate", "a certificate with damaged fields", {"problem": str(error)})


def public_key_text(key: object) -> str:
    """Return the kind and size of a public key, such as `EC P-256`."""
    kind = der.public_key_text(_spki(key))
    return f"{kind} {key.key_size}" if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) else kind


def time_text(moment: datetime) -> str:
    """Return a time as it goes into JSON."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def days_left(end: datetime, now: datetime) -> int:
    """Return the whole days until `end`, negative when it has passed."""
    return (end - now).days


def _block(block: pem.Block, now: datetime, ask: Ask, what: str) -> list[Finding]:
    label = block.label
    _refuse_other_label(block, what)
    if label == "PKCS12":
        return _pkcs12(block.data, now, ask, what)
    try:
        with parsing(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of what is old, and that is said here anyway
            if label in CERTIFICATES:
                return [certificate_finding(x509.load_der_x509_certificate(_first(block.data)), now)]
            if label in REQUESTS:
                return [_request(x509.load_der_x509_csr(block.data))]
            if label == "X509 CRL":
                return [_crl(x509.load_der_x509_crl(block.data), now)]
            if label == "PUBLIC KEY":
                return [_public_key(block.data)]
            if label == "RSA PUBLIC KEY":
                return [_public_key(_spki(serialization.load_der_public_key(block.data)))]
            if label == "OPENSSH PRIVATE KEY":
                return [foreign.openssh_private_key(block.data)]
            if label.endswith("PRIVATE KEY"):
                return [_private_block(block)]
            if label in ("PKCS7", "CMS"):
                return _pkcs7(block.data, now)
    except UnreadableError as error:
        raise StateError(f"the {label.lower()} in {what} is damaged: restore the file from a backup") from error
    return [foreign.label_finding(label)]


def _refuse_other_label(block: pem.Block, what: str) -> None:
    """Say so when a block holds something else than its label says; a damaged one is for its parser to find."""
    meant, found = kinds.words_of(block.label), der.pem_label(_first(block.data))
    held = None if found is None else kinds.words_of(found)
    if not block.headers and meant is not None and held is not None and meant != held and "PKCS7" not in (found,):
        raise StateError(
            f"a block in {what} is labelled {block.label}, and what is in it is {held}: its first and last line have"
            f" to say {found}"
        )


def _der(data: bytes, now: datetime, ask: Ask, what: str) -> list[Finding]:
    """Describe DER structures, one behind the other, by what their form says that they are."""
    parts = der_parts(data)
    labels = [der.pem_label(part) for part in parts]
    if not any(labels):
        first = _first(data)
        label = der.pem_label(first)
        if label is not None and len(first) < len(data) and not parts:
            raise StateError(
                f"{what} begins with {kinds.words_of(label)} of {len(first)} bytes, and has {len(data) - len(first)}"
                " bytes behind it that are no DER: cut them off, or get the file again"
            )
        return []
    found = []
    for part, label in zip(parts, labels, strict=True):
        if label is None:
            found.append(Finding("unknown", f"DER of {len(part)} bytes, which this command does not know", {}))
        else:
            found += _block(pem.Block(label, part), now, ask, what)
    return found


def _first(data: bytes) -> bytes:
    """Return the DER element that `data` begins with: OpenSSL writes its own remarks behind a trusted certificate."""
    if len(data) < 2 or data[0] != 0x30:
        return data
    header = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    size = int.from_bytes(data[2:header], "big") if data[1] & 0x80 else data[1]
    return data[: header + size] if header + size <= len(data) else data


def _private_block(block: pem.Block) -> Finding:
    """Describe a private key; what is encrypted stays so."""
    label = "PKCS #8" if block.label == "PRIVATE KEY" else block.label
    encrypted = Finding("private key", "a private key, encrypted", {"encrypted": True, "form": label})
    if block.label == "ENCRYPTED PRIVATE KEY" or any("ENCRYPTED" in line for line in block.headers):
        return encrypted
    try:
        return _private_key(serialization.load_der_private_key(block.data, None).public_key(), label)
    except TypeError:  # the answer of an encrypted key that gets no password
        return encrypted
    except (ValueError, UnsupportedAlgorithm):
        kind = der.private_key_text(block.data)
        if kind in _LOADED:
            raise
        return Finding("private key", f"a private key, {kind}, not encrypted", {
            "encrypted": False, "form": label, "key": kind, "what_to_do": _OTHER_KEY,
        })  # fmt: skip


def _pkcs7(data: bytes, now: datetime) -> list[Finding]:
    try:
        held = pkcs7.load_der_pkcs7_certificates(data)
    except BROKEN:
        held = []
    title = f"a PKCS #7 file with {len(held)} certificates" if held else "a CMS or PKCS #7 message without certificates"
    advice = "openssl pkcs7 -print_certs -in FILE writes the certificates as PEM (-inform DER for a binary file)"
    facts = {"what_to_do": advice} if held else {}
    return [Finding("PKCS #7", title, facts), *(certificate_finding(each, now) for each in held)]


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
    said = der.certificate(certificate.public_bytes(serialization.Encoding.DER))
    key, usable = _key_text(certificate, said)
    basic = _value(certificate, x509.BasicConstraints)
    usages = [_USAGES.get(oid, oid.dotted_string) for oid in _value(certificate, x509.ExtendedKeyUsage) or []]
    facts: dict[str, Any] = {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "not_before": time_text(compat.not_before(certificate)),
        "not_after": time_text(end),
        "days_left": days_left(end, now),
        "key": key,
        "key_sha256": _digest(said.spki),
        "signed_with": said.hash,
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
    title = _certificate_title(certificate, facts)
    if not usable:
        title += f", for a key of the kind {key}, which nothing here can use"
    if said.hash in der.BROKEN_HASHES:
        title += f", signed with {said.hash}, which is not taken"
    return Finding("certificate", title, facts)


def _key_text(thing: x509.Certificate | x509.CertificateSigningRequest, said: der.Signed) -> tuple[str, bool]:
    """Return the kind of the key in something signed, and whether the library can use it."""
    try:
        key = thing.public_key()
    except BROKEN:
        if said.key in _LOADED:
            raise
        return said.key, False
    return f"{said.key} {key.key_size}" if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) else said.key, True


def _certificate_title(certificate: x509.Certificate, facts: Mapping[str, Any]) -> str:
    name = names.common_name(certificate.subject) or "nobody"
    if facts["ca"]:
        what = "the root CA" if certificate.subject == certificate.issuer else "a CA"
        return f"{what} called {name!r}" + (f" for {facts['usages'][0]}s" if facts["usages"] else "")
    units = [str(found.value) for found in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    whose = {
        names.DEVICES_UNIT: "the device",
        names.OPERATORS_UNIT: "the operator",
        names.GATEWAYS_UNIT: "the gateway",
        names.SERVICES_UNIT: "the service",
    }
    who = whose.get(units[0] if units else "", "somebody called")
    when = f"{facts['days_left']} days left" if facts["days_left"] >= 0 else f"ended {-facts['days_left']} days ago"
    return f"a certificate of {who} {name}, {when}"


def _request(csr: x509.CertificateSigningRequest) -> Finding:
    said = der.request(csr.public_bytes(serialization.Encoding.DER))
    key, _ = _key_text(csr, said)
    valid = check_self_signed(csr, said)
    sans = _value(csr, x509.SubjectAlternativeName)
    facts = {
        "subject": csr.subject.rfc4514_string(),
        "key": key,
        "key_sha256": _digest(said.spki),
        "signature_valid": valid,
        "signed_with": said.hash,
        "names": [str(name.value) for name in sans or []],
    }
    if valid is None:
        state = "whose signature cannot be checked here"
    else:
        state = "signed by its own key" if valid else "NOT signed by its own key"
    if refused_hash(said) is not None:
        state += f"{' with' if valid else ', signed with'} {said.hash}, which is not taken"
        facts["what_to_do"] = (
            "sign it with SHA-256, as every program of today does by itself (openssl req -new -sha256)"
        )
    if key not in _CERTIFIED:
        state += f", for a key of the kind {key}"
        facts["what_to_do"] = _OTHER_KEY
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


def _public_key(spki: bytes) -> Finding:
    kind = der.public_key_text(spki)
    try:
        kind = public_key_text(serialization.load_der_public_key(spki))
    except BROKEN:
        if kind in _LOADED:
            raise
    facts = {"key": kind, "key_sha256": _digest(spki)}
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
