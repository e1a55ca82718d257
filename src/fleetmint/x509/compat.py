"""Times of certificates and CRLs as aware UTC datetimes, whichever `cryptography` is installed.

The gateway runs Debian's library: 38 on Debian 12, which only knows naive times; those are gone from newer ones.
"""

from datetime import UTC, datetime
from typing import Any

from cryptography import x509


def not_before(certificate: x509.Certificate) -> datetime:
    """Return the first second at which `certificate` is valid."""
    return _utc(certificate, "not_valid_before")


def not_after(certificate: x509.Certificate) -> datetime:
    """Return the last second at which `certificate` is valid."""
    return _utc(certificate, "not_valid_after")


def last_update(crl: x509.CertificateRevocationList) -> datetime:
    """Return when `crl` was signed."""
    return _utc(crl, "last_update")


def next_update(crl: x509.CertificateRevocationList) -> datetime:
    """Return when `crl` ends. Every CRL of ours has this field; one without it has ended."""
    return _utc(crl, "next_update")


def revoked_at(entry: x509.RevokedCertificate) -> datetime:
    """Return since when the certificate of a CRL entry is revoked."""
    return _utc(entry, "revocation_date")


def _utc(thing: Any, name: str) -> datetime:
    value = getattr(thing, f"{name}_utc", None)
    if value is None:
        value = getattr(thing, name, None)
    if value is None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return value.replace(tzinfo=UTC)  # type: ignore[no-any-return]
