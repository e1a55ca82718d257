"""Certificate revocation lists (RFC 5280, section 5): built, checked against the one before, and kept on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import commands, files
from fleetmint.errors import FleetmintError, StateError
from fleetmint.plan import Plan
from fleetmint.x509 import compat, kinds, names
from fleetmint.x509.authority import Authority, digest_for
from fleetmint.x509.parsing import UnreadableError, parsing, touch_name
from fleetmint.x509.profiles import BACKDATE, SKEW

CRL = "crl.pem"
MAX_NUMBER_OCTETS = 20


@dataclass(frozen=True)
class Revoked:
    """One revoked certificate. `reason` is a name of x509.ReasonFlags in snake case, such as `key_compromise`."""

    serial: int
    at: datetime
    reason: str = "unspecified"


def build_crl(
    authority: Authority, revoked: Sequence[Revoked], *, number: int, now: datetime, lifetime: timedelta
) -> x509.CertificateRevocationList:
    """Sign the complete CRL of `authority`. `number` has to be higher than that of any CRL it signed before.

    It ends after `lifetime` or with the CA, whichever is earlier. Raises FleetmintError when the CA has ended.
    """
    now = now.replace(microsecond=0)
    end = _end(authority.certificate, now, lifetime)
    if end <= now:
        label = names.common_name(authority.certificate.subject)
        raise FleetmintError(
            f"{label} ended on {end:%Y-%m-%d}: it signs no CRL any more, and what it issued has ended too"
        )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - BACKDATE)
        .next_update(end)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    for entry in sorted(revoked, key=lambda entry: entry.serial):
        builder = builder.add_revoked_certificate(_row(entry))
    return builder.sign(authority.key, digest_for(authority.key))


def load_crl(data: bytes, what: str) -> x509.CertificateRevocationList:
    """Read a PEM CRL; raise StateError naming `what` when it is not one."""
    try:
        with parsing():
            return _touch(x509.load_pem_x509_crl(data))
    except UnreadableError as error:
        raise StateError(
            f"{what} is no CRL{kinds.but(data, 'a CRL')}: sign it again, or restore it from a backup"
        ) from error


def read_crl(data: bytes, what: str) -> x509.CertificateRevocationList:
    """Read a CRL, PEM or DER; raise StateError naming `what` when it is not one."""
    if b"-----BEGIN" in data:
        return load_crl(data, what)
    try:
        with parsing():
            found = _touch(x509.load_der_x509_crl(data))
            entries(found)
            return found
    except UnreadableError as error:
        raise StateError(f"{what} is no CRL{kinds.but(data, 'a CRL')}: fetch it again") from error


def crl_pem(crl: x509.CertificateRevocationList) -> bytes:
    """Return `crl` as PEM."""
    return crl.public_bytes(serialization.Encoding.PEM)


def crl_number(crl: x509.CertificateRevocationList) -> int:
    """Return the CRL number, by which an older list is told from a newer one; raise StateError without a good one."""
    number = usable_number(crl)
    if number is None:
        raise StateError(
            f"a CRL of {crl.issuer.rfc4514_string()!r} has no CRL number, or one of more than {MAX_NUMBER_OCTETS}"
            " octets, and cannot be told from an older one: have it signed again"
        )
    return number


def usable_number(crl: x509.CertificateRevocationList) -> int | None:
    """Return the CRL number; None when there is none, or it is longer than RFC 5280 (5.2.3) allows."""
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None
    # the first bit of an INTEGER is its sign
    return number if number >= 0 and number.bit_length() < MAX_NUMBER_OCTETS * 8 else None


def signed_at(crl: x509.CertificateRevocationList) -> datetime:
    """Return what the clock said when the CRL was signed."""
    return compat.last_update(crl) + BACKDATE


def serial_number(text: str) -> int:
    """Return the serial number written as hexadecimal in `text`; raise StateError when it is none."""
    try:
        return int(text, 16)
    except ValueError as error:
        raise StateError(f"{text!r} is no serial number: write it in hexadecimal, as openssl prints it") from error


def issuer_key_id(crl: x509.CertificateRevocationList) -> bytes | None:
    """Return the key identifier of the CA that signed `crl`, if it names one: tells two CAs of one name apart."""
    try:
        return crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `crl`."""
    key = issuer.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and crl.issuer == issuer.subject and crl.is_signature_valid(key)


def entries(crl: x509.CertificateRevocationList) -> tuple[Revoked, ...]:
    """Return what a CRL revokes."""
    return tuple(Revoked(row.serial_number, compat.revoked_at(row), _reason(row)) for row in crl)


def read_record(path: Path, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """Return the list of `issuer` on the controller; raise StateError when it is missing, damaged or another CA's.

    A list that is missing is not begun again: it would forget whom it revoked, with numbers that were used before.
    """
    if not path.exists():
        name = path.parent.name
        raise StateError(
            f"{path} is missing, and a new list would forget whom the CA has revoked: restore it from the backup, or"
            f" fetch the one that a gateway holds (`curl -fO http://GATEWAY/{name}.crl`) and take it over with"
            f" {commands.fleetmint('ca', 'restore-crl', f'{name}.crl')}"
        )
    found = load_crl(files.read(path, "CRL"), str(path))
    if not signed_by(found, issuer):
        raise StateError(f"{path} is not signed by the CA beside it: restore both from one backup")
    return found


def plan_crl(
    path: Path,
    issuer: x509.Certificate,
    open_authority: Callable[[], Authority],
    revoke: Iterable[Revoked],
    *,
    lifetime: timedelta,
    now: datetime,
) -> Plan[None]:
    """Plan the CRL file of one CA.

    The file is the record of what that CA revoked, and only grows. It is signed again when `revoke` adds to it, or
    when a quarter of its life has passed. `open_authority` is called only to sign. Raises StateError when the file is
    missing or not that CA's: the first list comes into being together with the CA, so a missing one is lost.
    """
    old = read_record(path, issuer)
    known = {entry.serial: entry for entry in entries(old)}
    last = usable_number(old)
    # seconds since 1970 are more than anybody has counted to, and whatever a gateway holds has to be lower
    number = int(now.timestamp()) if last is None else last + 1
    before = _summary(last, compat.next_update(old), known)
    reasons = []
    if last is None:
        reasons.append(f"{path} has no CRL number of at most {MAX_NUMBER_OCTETS} octets")
    if signed_at(old) > now + SKEW:
        reasons.append(f"{path} was signed on {signed_at(old):%Y-%m-%d %H:%M}Z, which is still to come")
    if now - compat.last_update(old) > (compat.next_update(old) - compat.last_update(old)) / 4:
        reasons.append(f"a quarter of the life of {path} has passed")
    added = {entry.serial: entry for entry in revoke if entry.serial not in known}
    reasons += [f"revoke {serial:x}" for serial in added]
    if not reasons:
        return Plan(before=before, after=before)
    wanted = {**known, **added}

    def sign() -> None:
        crl = build_crl(open_authority(), list(wanted.values()), number=number, now=now, lifetime=lifetime)
        files.write_atomically(path, crl_pem(crl), files.PUBLIC_FILE)

    return Plan(tuple(reasons), sign, before=before, after=_summary(number, _end(issuer, now, lifetime), wanted))


def _end(issuer: x509.Certificate, now: datetime, lifetime: timedelta) -> datetime:
    return min(now + lifetime, compat.not_after(issuer))


def _summary(number: int | None, end: datetime, revoked: Iterable[int]) -> str:
    lines = [f"number {'-' if number is None else number}", f"next update {end:%Y-%m-%d %H:%M}Z"]
    return "\n".join(lines + [f"revoked {serial:x}" for serial in sorted(revoked)]) + "\n"


def _row(entry: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.at)
    if entry.reason != "unspecified":  # RFC 5280, 5.3.1: leave it out rather than say nothing
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags[entry.reason]), critical=False)
    return builder.build()


def _touch(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    touch_name(crl.issuer)
    _ = list(crl.extensions), compat.last_update(crl), compat.next_update(crl), crl.signature
    return crl


def _reason(row: x509.RevokedCertificate) -> str:
    try:
        return row.extensions.get_extension_for_class(x509.CRLReason).value.reason.name
    except x509.ExtensionNotFound:
        return "unspecified"
