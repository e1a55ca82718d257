"""Whether a listener would take a certificate: the decision of nginx, Mosquitto and devices, with the reason in words.

At listeners OpenSSL decides (RFC 5280, section 6, and "CRL check all"); on a device mbedTLS does. Here the same rules
are written out, because neither says in words what it found. The tests hold this against `openssl verify`, from which
it differs once: a leaf that calls itself a CA, which OpenSSL takes, is refused here as the signing service refuses it.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from fleetmint.errors import FleetmintError
from fleetmint.x509 import compat, der, names, revocation
from fleetmint.x509.chain import issued_by, title

# More than root, issuing CA and leaf would be no chain of ours, and a circle must end.
_MAX_CHAIN = 8
_CRITICAL_KNOWN = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}
_T = TypeVar("_T", bound=x509.ExtensionType)
_PURPOSE = {ExtendedKeyUsageOID.CLIENT_AUTH: "clients", ExtendedKeyUsageOID.SERVER_AUTH: "servers"}


@dataclass(frozen=True)
class Listener:
    """What one listener knows: whom it trusts, which CAs stand between, and the CRLs; None: it looks at no CRL.

    `check_name` gets the common name and raises FleetmintError for one that is none of this listener; `unit` is its OU.
    """

    title: str
    purpose: ObjectIdentifier
    anchors: Sequence[x509.Certificate]
    issuing: Sequence[x509.Certificate]
    crls: Sequence[x509.CertificateRevocationList] | None
    unit: str
    check_name: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Verdict:
    """`reasons` say why the listener refuses, all of them; without any it accepts. `chain`: subjects, leaf first."""

    reasons: tuple[str, ...]
    chain: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the listener lets it in."""
        return not self.reasons


def verify(
    leaf: x509.Certificate,
    sent: Sequence[x509.Certificate],
    listener: Listener,
    now: datetime,
    host: str | None = None,
) -> Verdict:
    """Decide about `leaf`, with the intermediates that the client sends along, at `now`.

    `host` is the name or address by which a device reaches a server.
    """
    chain = _chain(leaf, [*listener.issuing, *sent], listener.anchors)
    titles = tuple(title(certificate) for certificate in chain)
    weak = [
        reason for certificate in chain if certificate not in listener.anchors for reason in _weak_hash(certificate)
    ]
    if chain[-1] not in listener.anchors:
        last = chain[-1]
        issuer = names.common_name(last.issuer) or last.issuer.rfc4514_string()
        return Verdict(
            (
                *weak,
                f"it was not issued under a CA that {listener.title} trust: {titles[-1]} names {issuer!r}",
            ),
            titles,
        )
    reasons = [*weak, *(reason for certificate in chain for reason in _dates(certificate, now))]
    reasons += [reason for certificate in chain for reason in _unknown_critical(certificate)]
    reasons += _usage_of_leaf(leaf, listener.purpose)
    for position, ca in enumerate(chain[1:]):
        reasons += _usage_of_ca(ca, listener.purpose, below=position)
        reasons += [reason for under in chain[: position + 1] for reason in _constrained(under, ca)]
    if listener.crls is not None:
        reasons += _revocation(chain, listener, now)
    reasons += _name(leaf, listener)
    if host is not None:
        reasons += _host(leaf, host)
    return Verdict(tuple(dict.fromkeys(reasons)), titles)


def _chain(
    leaf: x509.Certificate, pool: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Return leaf, issuer, … up to an anchor, or as far as it goes."""
    chain = [leaf]
    while chain[-1] not in anchors and len(chain) < _MAX_CHAIN:
        candidates = [ca for ca in (*anchors, *pool) if ca not in chain and issued_by(chain[-1], ca)]
        if not candidates:
            break
        chain.append(candidates[0])
    return chain


def _weak_hash(certificate: x509.Certificate) -> list[str]:
    found = der.signature_hash(certificate.public_bytes(serialization.Encoding.DER))
    return [f"{title(certificate)} is signed with {found}, which is not taken"] if found in der.BROKEN_HASHES else []


def _dates(certificate: x509.Certificate, now: datetime) -> list[str]:
    if now < compat.not_before(certificate):
        return [f"{title(certificate)} is not valid before {compat.not_before(certificate):%Y-%m-%d %H:%M}Z"]
    if now > compat.not_after(certificate):
        return [f"{title(certificate)} ended on {compat.not_after(certificate):%Y-%m-%d %H:%M}Z"]
    return []


def _unknown_critical(certificate: x509.Certificate) -> list[str]:
    return [
        f"{title(certificate)} has the critical extension {extension.oid.dotted_string}, which nobody here knows"
        for extension in certificate.extensions
        if extension.critical and extension.oid not in _CRITICAL_KNOWN
    ]


def _usage_of_leaf(leaf: x509.Certificate, purpose: ObjectIdentifier) -> list[str]:
    reasons = []
    basic = _extension(leaf, x509.BasicConstraints)
    if basic is not None and basic.ca:
        # OpenSSL lets one in under its own name; no CA of ours signs any, so whoever shows it has stolen a CA's key
        reasons.append(f"{title(leaf)} calls itself a CA (basic constraints), and no client or server of ours is one")
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and purpose not in usages:
        reasons.append(f"{title(leaf)} is no certificate for {_PURPOSE[purpose]} (extended key usage)")
    key_usage = _extension(leaf, x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        reasons.append(f"the key of {title(leaf)} may not sign a handshake (key usage)")
    return reasons


def _usage_of_ca(ca: x509.Certificate, purpose: ObjectIdentifier, below: int) -> list[str]:
    """Say what forbids `ca` to issue for this purpose, with `below` further CAs under it in this chain."""
    reasons = []
    basic = _extension(ca, x509.BasicConstraints)
    if basic is None or not basic.ca:
        return [f"{title(ca)} is no CA and may not issue anything (basic constraints)"]
    if basic.path_length is not None and below > basic.path_length:
        reasons.append(f"{title(ca)} allows {basic.path_length} CAs under it, and here are {below} (path length)")
    key_usage = _extension(ca, x509.KeyUsage)
    if key_usage is not None and not key_usage.key_cert_sign:
        reasons.append(f"{title(ca)} may not sign certificates (key usage)")
    usages = _extension(ca, x509.ExtendedKeyUsage)
    if usages is not None and purpose not in usages:
        reasons.append(f"{title(ca)} issues no certificates for {_PURPOSE[purpose]} (extended key usage)")
    return reasons


def _constrained(certificate: x509.Certificate, ca: x509.Certificate) -> list[str]:
    """Say which names of `certificate` the name constraints of `ca` forbid (RFC 5280, 4.2.1.10)."""
    constraints = _extension(ca, x509.NameConstraints)
    if constraints is None:
        return []
    found: list[x509.GeneralName] = [x509.DirectoryName(certificate.subject)] if list(certificate.subject) else []
    found += list(_extension(certificate, x509.SubjectAlternativeName) or [])
    reasons = []
    for name in found:
        permitted = [base for base in constraints.permitted_subtrees or [] if type(base) is type(name)]
        excluded = [base for base in constraints.excluded_subtrees or [] if type(base) is type(name)]
        outside = bool(permitted) and not any(_within(name, base) for base in permitted)
        if outside or any(_within(name, base) for base in excluded):
            reasons.append(f"{title(ca)} may not issue for the name {_shown(name)} (name constraints)")
    return reasons


def _within(name: x509.GeneralName, base: x509.GeneralName) -> bool:
    if isinstance(name, x509.DirectoryName) and isinstance(base, x509.DirectoryName):
        wanted = list(base.value)
        return list(name.value)[: len(wanted)] == wanted
    if isinstance(name, x509.IPAddress) and isinstance(base, x509.IPAddress):
        address, network = name.value, base.value
        return (
            isinstance(address, (ipaddress.IPv4Address, ipaddress.IPv6Address))
            and isinstance(network, (ipaddress.IPv4Network, ipaddress.IPv6Network))
            and address in network
        )
    if isinstance(name, x509.RFC822Name) and isinstance(base, x509.RFC822Name):
        mail, limit = name.value.lower(), base.value.lower()
        host = mail.rpartition("@")[2]
        return mail == limit if "@" in limit else host.endswith(limit) if limit.startswith(".") else host == limit
    if isinstance(name, x509.DNSName) and isinstance(base, x509.DNSName):
        host, limit = name.value.lower(), base.value.lower().removeprefix(".")
        return not limit or host == limit or host.endswith(f".{limit}")
    return False


def _shown(name: x509.GeneralName) -> str:
    return name.value.rfc4514_string() if isinstance(name, x509.DirectoryName) else repr(str(name.value))


def _revocation(chain: Sequence[x509.Certificate], listener: Listener, now: datetime) -> list[str]:
    """Check every certificate of the chain: one without a good CRL of its issuer is refused like a revoked one."""
    reasons = []
    for position, certificate in enumerate(chain):
        issuer = chain[min(position + 1, len(chain) - 1)]
        lists = [crl for crl in listener.crls or () if revocation.signed_by(crl, issuer)]
        if not lists:
            reasons.append(
                f"{listener.title} have no CRL of {title(issuer)}, and without one its certificates are refused"
            )
            continue
        newest = max(lists, key=compat.last_update)
        if compat.next_update(newest) < now:
            reasons.append(f"the CRL of {title(issuer)} ended on {compat.next_update(newest):%Y-%m-%d %H:%M}Z")
        if compat.last_update(newest) > now:
            reasons.append(f"the CRL of {title(issuer)} begins on {compat.last_update(newest):%Y-%m-%d %H:%M}Z only")
        entry = newest.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            reasons.append(f"{title(certificate)} is revoked since {compat.revoked_at(entry):%Y-%m-%d %H:%M}Z")
    return reasons


def _name(leaf: x509.Certificate, listener: Listener) -> list[str]:
    if listener.check_name is None:
        return []
    reasons = []
    units = [str(found.value) for found in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    if units != [listener.unit]:
        reasons.append(f"its OU is {', '.join(units) or 'missing'}, and {listener.title} want {listener.unit}")
    try:
        listener.check_name(names.common_name(leaf.subject) or "")
    except FleetmintError as error:
        reasons.append(str(error))
    return reasons


def _host(leaf: x509.Certificate, host: str) -> list[str]:
    """Compare as RFC 6125 and mbedTLS do: alternative names only, a wildcard for one whole leftmost label."""
    sans = _extension(leaf, x509.SubjectAlternativeName)
    have = [str(name.value) for name in sans or [] if isinstance(name, (x509.DNSName, x509.IPAddress))]
    try:
        address = ipaddress.ip_address(host)
        good = sans is not None and address in sans.get_values_for_type(x509.IPAddress)
    except ValueError:
        dns = sans.get_values_for_type(x509.DNSName) if sans is not None else []
        good = any(_same_host(host.lower(), name.lower()) for name in dns)
    return [] if good else [f"it is not for the host {host!r}, only for {', '.join(have) or 'none'}"]


def _same_host(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


def _extension(certificate: x509.Certificate, kind: type[_T]) -> _T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
