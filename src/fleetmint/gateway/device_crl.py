"""The CRLs of the device CAs of this gateway, signed here and kept in one file.

There is one device CA, and two while a new one takes the place of the old: the old one signs for as long as anything it
issued is valid, or nothing of that could be revoked. A list is signed again when what it revokes has changed, which is
also when the hours of a certificate beside its successor are over, and when it is two days old: it lives a week, so a
timer that fails for days harms nobody, while an expired CRL locks the whole fleet out. Each says what the head of the
ledger's chain of events was: whoever has the list can tell whether that chain was cut since.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from sqlalchemy.engine import Engine

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.gateway.clock import refuse_before
from fleetmint.gateway.crl_files import read_lists
from fleetmint.ledger import reading, writing
from fleetmint.ledger.head import read_head
from fleetmint.ledger.revocation import last_crl_number, revoked_certificates, take_crl_number
from fleetmint.ledger.succession import supersede_due
from fleetmint.plan import Plan
from fleetmint.x509 import keys, names, revocation
from fleetmint.x509.authority import Authority
from fleetmint.x509.profiles import PROFILES, SKEW
from fleetmint.x509.revocation import Revoked

RENEW_AFTER = timedelta(days=2)
# What an integer of a database holds, and room to count on.
MAX_LEDGER_NUMBER = 2**62


@dataclass(frozen=True)
class _Wanted:
    """The list of one CA: the one in place, what has to be on it, and why it has to be signed again."""

    authority: Authority
    old: x509.CertificateRevocationList | None
    revoked: tuple[Revoked, ...]
    number: int
    reasons: tuple[str, ...]


def plan_device_crl(
    engine: Engine, authorities: Sequence[Authority], path: Path, *, now: datetime, force: bool = False
) -> Plan[int]:
    """Plan the CRLs of `authorities`, the one that issues first, in the file at `path`.

    The result is the number of that first CRL. What the CRLs in place revoke
    stays revoked, even when the ledger does not know it: that is how revocations survive the restoring of an older
    ledger. The list of a CA that is here no more is dropped. Raises ClockError when the clock is before a CA, and
    StateError when the CRLs in place cannot be read (unless forced) or none of them is of these CAs.
    """
    for authority in authorities:
        refuse_before(authority, now)
    lists = _read(path, authorities, force)
    wanted = [_wanted(engine, authority, lists, path, now, force) for authority in authorities]
    gone = [crl for crl in lists if all(crl is not one.old for one in wanted)]
    reasons = [reason for one in wanted for reason in one.reasons]
    reasons += [f"drop the CRL of {crl.issuer.rfc4514_string()}, whose key is here no more" for crl in gone]
    if not reasons:
        return Plan(expected=wanted[0].number)

    def sign() -> int:
        files.make_private_dir(path.parent)
        with _alone(path.parent):
            # anew: a list that was put here since revokes what this plan knows nothing of
            there = _read(path, authorities, force)
            found = [_wanted(engine, authority, there, path, now, force) for authority in authorities]
            # an empty list is false, so compare with None
            pems = [
                _sign(engine, one, now) if one.reasons or one.old is None else revocation.crl_pem(one.old)
                for one in found
            ]
            files.write_atomically(path, b"".join(pems), files.PUBLIC_FILE)
        return found[0].number

    return Plan(tuple(dict.fromkeys(reasons)), sign, expected=wanted[0].number)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until nobody else signs a list that goes there: a timer, a command and each thread of the service may."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _wanted(
    engine: Engine,
    authority: Authority,
    lists: Sequence[x509.CertificateRevocationList],
    path: Path,
    now: datetime,
    force: bool,
) -> _Wanted:
    old = next((crl for crl in lists if revocation.signed_by(crl, authority.certificate)), None)
    with reading(engine) as connection:
        listed = revoked_certificates(connection, "device", authority.certificate, now=now)
        last = last_crl_number(connection, _issuer(authority))
    revoked = {entry.serial: entry for entry in listed}
    old_number = 0
    reasons = ["asked to"] if force else []
    if old is None:
        name = names.common_name(authority.certificate.subject)
        reasons.append(f"there is no CRL of {name} in {path} yet" if lists else f"there is no {path} yet")
    else:
        found = revocation.usable_number(old)
        if found is None or found > MAX_LEDGER_NUMBER:
            reasons.append(f"{path} has no CRL number that the ledger can count on from")
        else:
            old_number = found
        known = {entry.serial: entry for entry in revocation.entries(old)}
        reasons += [f"revoke {serial:x}" for serial in revoked if serial not in known]
        revoked = {**known, **revoked}
        # some clients take an entry for revoked only from its date on
        early = [entry for entry in known.values() if entry.at > now + SKEW]
        reasons += [f"{path} revokes {entry.serial:x} only from {entry.at:%Y-%m-%d %H:%M}Z" for entry in early]
        signed_at = revocation.signed_at(old)
        if now - signed_at >= RENEW_AFTER:
            reasons.append(f"{path} was signed {signed_at:%Y-%m-%d %H:%M}Z")
        if signed_at > now + SKEW:
            reasons.append(f"{path} was signed on {signed_at:%Y-%m-%d %H:%M}Z, which is still to come")
        if 0 < old_number < last:
            reasons.append(f"{path} has the number {old_number}, and {last} was given out")
    number = max(last, old_number) + 1 if reasons else old_number
    entries = tuple(replace(entry, at=min(entry.at, now)) for entry in revoked.values())
    return _Wanted(authority, old, entries, number, tuple(reasons))


def _sign(engine: Engine, wanted: _Wanted, now: datetime) -> bytes:
    lifetime = PROFILES["device-ca"].crl_lifetime
    if lifetime is None:
        raise StateError("the profile of the device CA has no CRL lifetime")
    with writing(engine) as connection:  # durable before it is signed: a number is never used twice
        supersede_due(connection, now)
        number = take_crl_number(connection, _issuer(wanted.authority), at_least=wanted.number)
        head = read_head(connection)
    crl = revocation.build_crl(
        wanted.authority, wanted.revoked, number=number, now=now, lifetime=lifetime, ledger_head=head.der()
    )
    return revocation.crl_pem(crl)


def _read(path: Path, authorities: Sequence[Authority], force: bool) -> tuple[x509.CertificateRevocationList, ...]:
    if not path.exists():
        return ()
    try:
        found = read_lists(path, "CRL")
    except StateError:
        if force:
            return ()
        raise
    if not any(revocation.signed_by(crl, authority.certificate) for crl in found for authority in authorities):
        raise StateError(f"{path} is signed by another CA: move it away if that CA is gone, then sign again")
    return found


def _issuer(authority: Authority) -> str:
    return keys.spki_sha256(authority.key.public_key()).hex()
