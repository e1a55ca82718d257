"""From a grant to a certificate: reserve, sign, store.

What will be signed is durable before it is signed, together with the use of the grant; what was signed is durable
before it is answered. Wherever it is cut, a retry with the same grant and key finds its row and goes on from there.
Signing lies between two transactions, so nobody waits for it.
"""

import hmac
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError
from fleetmint.ledger import events, succession
from fleetmint.ledger.devices import Certificate, certificate_of, serial_text
from fleetmint.ledger.grants import (
    GraceGrant,
    Grant,
    GrantRefusedError,
    LiveGrant,
    Token,
    TokenGrant,
    check_certificate,
    find_token,
)
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    RESERVED,
    USED,
    certificates,
    devices,
    public_keys,
    tokens,
)

_KINDS = {TokenGrant: "enrol", LiveGrant: "renew", GraceGrant: "recover"}


class KeyRefusedError(FleetmintError):
    """The public key is not certified, whatever was shown. `code` is the reason for a machine."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NewKeyNeededError(FleetmintError):
    """The key was made by the factory, and a renewal has to bring one that the device has made."""


def reserve(
    connection: Connection, grant: Grant, *, spki_sha256: str, serial: int, overlap: timedelta, now: datetime
) -> Certificate:
    """Use the grant for this key and record the certificate that will be signed; or return what it was used for.

    `serial` is taken only for a new reservation. What the device uses stays good until the new one is in use, and
    `overlap` longer. The connection has to be one of `writing`. Raises GrantRefusedError, of which SupersededError is
    one, KeyRefusedError (key_in_use: of another device; key_retired: of an earlier life of this one) and
    NewKeyNeededError.
    """
    if isinstance(grant, TokenGrant):
        token = find_token(connection, grant.device, grant.token_sha256)
        if token.state == USED:
            return _issued_for(connection, token, spki_sha256, now)
        _refuse_token(connection, token, now)
        device = token.device
    else:
        shown = check_certificate(connection, grant, now)
        device = shown.device
        _refuse_for(connection, grant, shown, spki_sha256)
        # whoever signs with its key has it, and its answer has arrived
        succession.confirm(connection, shown.serial, overlap=overlap, now=now)
        pending = succession.find_unconfirmed(connection, device)
        if pending is not None and pending.spki_sha256 == spki_sha256 and _serves(pending, now):
            return pending
    _take_key(connection, device, spki_sha256)
    current = _keep_current(connection, device, overlap, now)
    ended = succession.make_room(connection, device, now)
    token_sha256 = grant.token_sha256 if isinstance(grant, TokenGrant) else None
    if token_sha256 is not None:
        connection.execute(update(tokens).where(tokens.c.token_sha256 == token_sha256).values(state=USED, used_at=now))
        connection.execute(update(devices).where(devices.c.device == device).values(status=ACTIVE))
    predecessor = None if current is None else serial_text(current.serial)
    connection.execute(
        certificates.insert().values(
            serial=serial_text(serial),
            issuer="device",
            device=device,
            spki_sha256=spki_sha256,
            token_sha256=token_sha256,
            status=RESERVED,
            reserved_at=now,
            predecessor=predecessor,
        )
    )
    events.append(
        connection,
        at=now,
        actor=device,
        kind=_KINDS[type(grant)],
        subject=device,
        detail={
            "serial": serial_text(serial),
            "spki_sha256": spki_sha256,
            "predecessor": predecessor,
            "superseded": ended,
        },
    )
    return _row(connection, serial)


def store_signed(
    connection: Connection, serial: int, *, der: bytes, not_before: datetime, not_after: datetime
) -> Certificate:
    """Store the signed certificate of a reservation and return the row as it then is.

    When another worker has stored one for the same reservation, that one stays: the caller must answer what the row
    holds, not what it signed. Raises GrantRefusedError when the reservation was revoked meanwhile.
    """
    connection.execute(
        update(certificates)
        .where(certificates.c.serial == serial_text(serial), certificates.c.status == RESERVED)
        .values(status=ACTIVE, der=der, not_before=not_before, not_after=not_after)
    )
    row = _row(connection, serial)
    if row.status != ACTIVE:
        raise GrantRefusedError(f"the certificate is {row.status}")
    return row


def is_made_by_factory(connection: Connection, spki_sha256: str) -> bool:
    """Whether a public key came to its device from the factory, with a certificate."""
    query = select(certificates.c.serial).where(
        certificates.c.spki_sha256 == spki_sha256, certificates.c.issuer == "factory"
    )
    return connection.execute(query).first() is not None


def _refuse_token(connection: Connection, token: Token, now: datetime) -> None:
    if token.expires_at <= now:
        raise GrantRefusedError("the token has expired")
    status = connection.execute(select(devices.c.status).where(devices.c.device == token.device)).scalar()
    if status not in (REGISTERED, ACTIVE):
        raise GrantRefusedError(f"the device is {status}")


def _refuse_for(connection: Connection, grant: LiveGrant | GraceGrant, shown: Certificate, spki_sha256: str) -> None:
    if isinstance(grant, GraceGrant):
        if not hmac.compare_digest(shown.spki_sha256, spki_sha256):
            raise GrantRefusedError("the request is for another key than the certificate")
    elif shown.spki_sha256 == spki_sha256 and is_made_by_factory(connection, spki_sha256):
        raise NewKeyNeededError("the factory has made this key: make a new one for the renewal")


def _keep_current(connection: Connection, device: str, overlap: timedelta, now: datetime) -> Certificate | None:
    """Return the certificate that the device uses; the only one that was ever given to it counts as used.

    A device that speaks MQTT alone was never seen here, and must not lose its certificate for a token that it may lose.
    """
    current = succession.find_current(connection, device)
    given = succession.find_unconfirmed(connection, device)
    if current is None and given is not None:
        succession.confirm(connection, given.serial, overlap=overlap, now=now)
        current = succession.find_current(connection, device)
    return current


def _serves(pending: Certificate, now: datetime) -> bool:
    """Whether what was reserved or signed before is good now: the clock that it was signed by may have run ahead."""
    begins = pending.reserved_at if pending.not_before is None else pending.not_before
    return begins <= now and (pending.not_after is None or now < pending.not_after)


def _take_key(connection: Connection, device: str, spki_sha256: str) -> None:
    known = connection.execute(select(public_keys).where(public_keys.c.spki_sha256 == spki_sha256)).first()
    if known is None:
        connection.execute(public_keys.insert().values(spki_sha256=spki_sha256, device=device))
    elif known.device != device:
        raise KeyRefusedError("key_in_use", "the public key belongs to another device: make a new key")
    elif known.retired_at is not None:
        raise KeyRefusedError("key_retired", "the public key is of an earlier owner of this device: make a new key")


def _issued_for(connection: Connection, token: Token, spki_sha256: str, now: datetime) -> Certificate:
    row = connection.execute(select(certificates).where(certificates.c.token_sha256 == token.token_sha256)).first()
    if row is None or not hmac.compare_digest(row.spki_sha256, spki_sha256):
        raise GrantRefusedError("the token was used with another key")
    issued = certificate_of(row)
    if issued.status not in (RESERVED, ACTIVE):
        raise GrantRefusedError(f"the token's certificate is {issued.status}")
    if issued.not_after is not None and issued.not_after <= now:
        raise GrantRefusedError("the token's certificate has ended")
    if issued.superseded_at is not None:
        raise GrantRefusedError("a successor of the token's certificate is in use already")
    return issued


def _row(connection: Connection, serial: int) -> Certificate:
    return certificate_of(
        connection.execute(select(certificates).where(certificates.c.serial == serial_text(serial))).one()
    )
