"""Taking a device off the fleet, and the numbers of the lists that say so."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.errors import StateError
from fleetmint.ledger import events
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    REPLACED,
    REVOKED,
    UNUSED,
    certificates,
    crls,
    devices,
    public_keys,
    tokens,
)
from fleetmint.ledger.succession import SUPERSEDED, is_due
from fleetmint.x509.chain import issued_by
from fleetmint.x509.revocation import Revoked

# What these say on a list is that the device goes on, with another certificate or another owner.
_GOES_ON, _ENDED = (SUPERSEDED, "affiliation_changed"), "cessation_of_operation"
# What a renewal has replaced, and that is on a list, or is about to be.
_REPLACED = (certificates.c.status == REVOKED) & (certificates.c.revoke_reason == SUPERSEDED)


@dataclass(frozen=True)
class Revocation:
    """What revoking a device comes to: all its certificates as (serial, issuer), and whether anything is new."""

    device: str
    certificates: tuple[tuple[int, str], ...]
    changed: bool


def look_up(connection: Connection, device: str) -> Revocation:
    """Return what `revoke` would do; raise StateError for a device that is not in the ledger."""
    status = connection.execute(select(devices.c.status).where(devices.c.device == device)).scalar()
    if status is None:
        raise StateError(
            f"there is no device {device!r} in this ledger: {commands.gateway('devices')} lists the ones that are"
        )
    rows = connection.execute(
        select(certificates.c.serial, certificates.c.issuer, certificates.c.status)
        .where(certificates.c.device == device)
        .order_by(certificates.c.reserved_at, certificates.c.serial)
    ).all()
    return Revocation(
        device,
        tuple((int(row.serial, 16), str(row.issuer)) for row in rows),
        changed=status != REVOKED or any(row.status != REVOKED for row in rows),
    )


def revoke(connection: Connection, device: str, *, reason: str, actor: str, now: datetime) -> Revocation:
    """Revoke the device, its certificates (signed or only reserved) and its tokens. A second time changes nothing."""
    found = look_up(connection, device)
    if not found.changed:
        return found
    revoked = {"status": REVOKED, "revoked_at": now, "revoke_reason": reason}
    connection.execute(update(devices).where(devices.c.device == device).values(**revoked))
    serials = revoke_certificates(connection, device, reason=reason, now=now)
    connection.execute(update(tokens).where(tokens.c.device == device, tokens.c.state == UNUSED).values(state=REPLACED))
    detail = {"reason": reason, "serials": serials}
    events.append(connection, at=now, actor=actor, kind="revoke", subject=device, detail=detail)
    return found


def revoke_certificates(connection: Connection, device: str, *, reason: str, now: datetime) -> list[str]:
    """Revoke what the device has now, signed or only reserved, and return the serials.

    The device itself may go on, with another key: those that it had are retired. What it had renewed before gets the
    same reason, for whoever has nothing but the list: `superseded` there is of a device that goes on with its key.
    """
    live = (certificates.c.device == device, certificates.c.status != REVOKED)
    serials = sorted(connection.execute(select(certificates.c.serial).where(*live)).scalars())
    values = {"status": REVOKED, "revoked_at": now, "revoke_reason": reason}
    connection.execute(update(certificates).where(*live).values(**values))
    # the factory's list is the controller's, which asks for what is superseded
    renewed = (certificates.c.device == device, certificates.c.issuer == "device", _REPLACED)
    connection.execute(update(certificates).where(*renewed).values(revoke_reason=reason))
    keys = (public_keys.c.device == device, public_keys.c.retired_at.is_(None))
    connection.execute(update(public_keys).where(*keys).values(retired_at=now))
    return serials


def withdraw(connection: Connection, device: str, *, reason: str, actor: str, now: datetime) -> None:
    """Revoke what the device has, give up its keys, and let it wait for another token: it has not ended."""
    serials = revoke_certificates(connection, device, reason=reason, now=now)
    connection.execute(update(devices).where(devices.c.device == device).values(status=REGISTERED))
    detail = {"reason": reason, "serials": serials}
    events.append(connection, at=now, actor=actor, kind="withdraw", subject=device, detail=detail)


def revoke_listed(connection: Connection, reasons: Mapping[int, str], *, actor: str, now: datetime) -> list[str]:
    """Revoke the factory's certificates with these serials, which its CRL revokes; return the devices that end with it.

    A device that has another certificate by now goes on: what was listed is one that it had before.
    """
    rows = connection.execute(
        select(certificates.c.serial, certificates.c.device)
        .where(certificates.c.issuer == "factory", certificates.c.status != REVOKED)
        .order_by(certificates.c.device)
    ).all()
    ended = []
    for row in rows:
        reason = reasons.get(int(row.serial, 16))
        if reason is None:
            continue
        values = {"status": REVOKED, "revoked_at": now, "revoke_reason": reason}
        connection.execute(update(certificates).where(certificates.c.serial == row.serial).values(**values))
        detail = {"serial": row.serial, "reason": reason}
        events.append(connection, at=now, actor=actor, kind="revoke-listed", subject=row.device, detail=detail)
        left = select(certificates.c.serial).where(
            certificates.c.device == row.device, certificates.c.status != REVOKED
        )
        status = connection.execute(select(devices.c.status).where(devices.c.device == row.device)).scalar()
        if connection.execute(left).first() is None and status == ACTIVE:
            revoke(connection, row.device, reason=reason, actor=actor, now=now)
            ended.append(str(row.device))
    return ended


def revoked_certificates(
    connection: Connection, issuer: str, authority: x509.Certificate | None = None, *, now: datetime
) -> tuple[Revoked, ...]:
    """Return what the CRL of `issuer` (`device` or `factory`) has to hold `now`.

    That is what was revoked, and what has been superseded by a certificate that its device uses.

    With `authority` only what that CA has signed: a gateway has two device CAs while one takes the place of the other.
    What was reserved and never stored may have been signed by either.
    """
    rows = connection.execute(
        select(certificates, devices.c.status.label("status_of_device"))
        .join(devices, devices.c.device == certificates.c.device)
        .where(certificates.c.issuer == issuer, (certificates.c.status == REVOKED) | is_due(now))
        .order_by(certificates.c.serial)
    )
    return tuple(
        Revoked(
            int(row.serial, 16),
            row.revoked_at or row.superseded_at,
            _listed_reason(row),
        )
        for row in rows
        if authority is None or row.der is None or issued_by(_certificate(row.der), authority)
    )


def _listed_reason(row: Any) -> str:
    """Return the reason for a list, which is all that a restore of an older ledger has: of a revoked device, an end."""
    reason = str(row.revoke_reason or ("unspecified" if row.status == REVOKED else SUPERSEDED))
    ended = row.issuer == "device" and row.status_of_device == REVOKED
    return _ENDED if ended and reason in _GOES_ON else reason


def factory_certificates_of_revoked(connection: Connection, now: datetime) -> dict[int, str]:
    """Return the certificates that the factory made for devices that are revoked, and which have not ended, by serial.

    They belong on the list of the factory CA, which is signed elsewhere: until that comes, whoever reads no ledger lets
    them in.
    """
    rows = connection.execute(
        select(certificates.c.serial, certificates.c.device)
        .join(devices, devices.c.device == certificates.c.device)
        .where(devices.c.status == REVOKED, certificates.c.issuer == "factory", certificates.c.not_after > now)
        .order_by(certificates.c.serial)
    )
    return {int(row.serial, 16): str(row.device) for row in rows}


def superseded_certificates(connection: Connection, issuer: str, now: datetime) -> tuple[int, ...]:
    """Return the serials of what `issuer` issued that has been replaced by a renewal and has not ended."""
    of_issuer = (certificates.c.issuer == issuer, certificates.c.not_after > now)
    query = select(certificates.c.serial).where(*of_issuer, _REPLACED | is_due(now)).order_by(certificates.c.serial)
    return tuple(int(serial, 16) for serial in connection.execute(query).scalars())


def valid_until(connection: Connection, authority: x509.Certificate, now: datetime) -> tuple[datetime, ...]:
    """Return when each certificate of this device CA ends that is valid `now`, the last one first."""
    rows = connection.execute(
        select(certificates.c.der, certificates.c.not_after).where(
            certificates.c.issuer == "device", certificates.c.status == ACTIVE, certificates.c.not_after > now
        )
    )
    return tuple(sorted((row.not_after for row in rows if issued_by(_certificate(row.der), authority)), reverse=True))


def devices_by_serial(connection: Connection, serials: Collection[int]) -> dict[int, str]:
    """Return the device of each of these certificates; serials the ledger does not know are left out."""
    rows = connection.execute(
        select(certificates.c.serial, certificates.c.device).where(certificates.c.status == REVOKED)
    )
    known = {int(row.serial, 16): str(row.device) for row in rows}
    return {serial: known[serial] for serial in serials if serial in known}


def ended_certificates(connection: Connection, since: datetime | None, now: datetime) -> set[str]:
    """Return the devices of the certificates that ended by themselves after `since` (None: at any time) until `now`."""
    ended = [certificates.c.status == ACTIVE, certificates.c.not_after <= now]
    if since is not None:
        ended.append(certificates.c.not_after > since)
    return set(connection.execute(select(certificates.c.device).where(*ended)).scalars())


def devices_that_go_on(connection: Connection, names: Collection[str]) -> set[str]:
    """Return those of these devices that are active: another certificate of theirs is good, or they will get one."""
    active = connection.execute(select(devices.c.device).where(devices.c.status == ACTIVE)).scalars()
    return set(names).intersection(active) if names else set()


def last_crl_number(connection: Connection, issuer_spki_sha256: str) -> int:
    """Return the highest CRL number ever taken for this issuer; 0 when none was."""
    found: int | None = connection.execute(
        select(crls.c.number).where(crls.c.issuer_spki_sha256 == issuer_spki_sha256)
    ).scalar()
    return found or 0


def take_crl_number(connection: Connection, issuer_spki_sha256: str, *, at_least: int) -> int:
    """Take the next CRL number of this issuer, higher than any before; `at_least` comes from the CRL that is out."""
    last = last_crl_number(connection, issuer_spki_sha256)
    number = max(last + 1, at_least)
    mine = crls.c.issuer_spki_sha256 == issuer_spki_sha256
    if last:
        connection.execute(update(crls).where(mine).values(number=number))
    else:
        connection.execute(crls.insert().values(issuer_spki_sha256=issuer_spki_sha256, number=number))
    return number


def _certificate(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(bytes(der))
