"""Certificate revocation lists (RFC 5280, section 5): built, read, and checked against the one before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509 import compat, kinds, names
from fleetmint.x509.authority import Authority, digest_for
from fleetmint.x509.parsing import UnreadableError, parsing, touch_name
from fleetmint.x509.profiles import BACKDATE

CRL = "crl.pem"
# Not critical: what the head of a ledger's chain of events was when a device CA signed (ledger/head.py). The arc is one
# that Microsoft gives to anybody with a GUID ("Obtaining a Root OID using a script"); one of 2.25 has a UUID in a
# single number, which the cryptography of Debian 12 does not read.
LEDGER_HEAD = x509.ObjectIdentifier("1.2.840.113556.1.8000.2554.4159.11585.62923.16646.35533.763664.1081391.1")
MAX_NUMBER_OCTETS = 20
# How many serials a sentence names.
_NAMED = 10


@dataclass(frozen=True)
class Revoked:
    """One revoked certificate. `reason` is a name of x509.ReasonFlags in snake case, such as `key_compromise`."""

    serial: int
    at: datetime
    reason: str = "unspecified"


def build_crl(
    authority: Authority,
    revoked: Sequence[Revoked],
    *,
    number: int,
    now: datetime,
    lifetime: timedelta,
    ledger_head: bytes | None = None,
) -> x509.CertificateRevocationList:
    """Sign the complete CRL of `authority`. `number` has to be higher than that of any CRL it signed before.

    It ends after `lifetime` or with the CA, whichever is earlier. `ledger_head` is the value of
    that extension. Raises FleetmintError when the CA has ended.
    """
    now = now.replace(microsecond=0)
    end = end_of_crl(authority.certificate, now, lifetime)
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
    if ledger_head is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(LEDGER_HEAD, ledger_head), critical=False)
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


def ledger_head(crl: x509.CertificateRevocationList) -> bytes | None:
    """Return the value of the extension with the head of a ledger's chain; None when there is none."""
    found = next((each.value for each in crl.extensions if each.oid == LEDGER_HEAD), None)
    return found.value if isinstance(found, x509.UnrecognizedExtension) else None


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


def refuse_forgetting(
    new: x509.CertificateRevocationList,
    old: x509.CertificateRevocationList,
    *,
    what: str,
    where: str,
    remedy: Callable[[tuple[int, ...]], str],
) -> None:
    """Raise StateError when `new` must not take the place of `old`, a list of the same CA: nobody is let in again.

    It has to have no lower number, and to revoke all that `old` revokes: what a controller signs that was restored
    from a backup has any number. `what` and `where` say in the message which lists these are, and `remedy` what to do
    about the serials that `new` forgets, none when it has a lower number.
    """
    number, old_number = crl_number(new), usable_number(old)  # a list without a number is older than any that has one
    if old_number is not None and number < old_number:
        raise StateError(
            f"{what} has the number {number}, and {where} holds number {old_number}: an older list would forget"
            f" revocations; {remedy(())}"
        )
    forgotten = tuple(sorted({row.serial_number for row in old} - {row.serial_number for row in new}))
    if forgotten:
        first, more = ", ".join(f"{serial:x}" for serial in forgotten[:_NAMED]), len(forgotten) - _NAMED
        raise StateError(
            f"{what}, number {number}, does not revoke {first}{f' and {more} more' if more > 0 else ''}, which {where}"
            f" does: it would forget revocations; {remedy(forgotten)}"
        )


def end_of_crl(issuer: x509.Certificate, now: datetime, lifetime: timedelta) -> datetime:
    """Return when a CRL that `issuer` signs at `now` for `lifetime` ends: with the CA at the latest."""
    return min(now + lifetime, compat.not_after(issuer))


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
