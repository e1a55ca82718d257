"""From a token to a certificate: reserve, sign, store.

What will be signed is durable before it is signed, together with the use of the token; what was signed is durable
before it is answered. Wherever it is cut, a retry with the same token and key finds its row and goes on from there.
Signing lies between two transactions, so nobody waits for it.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError
from fleetmint.ledger import events
from fleetmint.ledger.devices import Certificate, certificate_of, owner_of_key, serial_text
from fleetmint.ledger.revocation import revoke_certificates
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    REPLACED,
    RESERVED,
    USED,
    certificates,
    devices,
    public_keys,
    tokens,
)

_NO_TOKEN = "0" * 64


class TokenRefusedError(FleetmintError):
    """The token gives no right to a certificate. The message is for the journal only: strangers are told nothing."""


class KeyInUseError(FleetmintError):
    """The public key belongs to another device."""


@dataclass(frozen=True)
class Token:
    """One row of `tokens`: `state` is unused, used or replaced; `expires_at` is aware UTC."""

    token_sha256: str
    device: str
    expires_at: datetime
    state: str


def find_token(connection: Connection, device: str, token_sha256: str) -> Token:
    """Return the token of `device` with this hash; raise TokenRefusedError when it has none or it is replaced.

    The hashes are compared in constant time, one at least, so that a device that does not exist costs the same.
    """
    found = None
    rows = connection.execute(select(tokens).where(tokens.c.device == device)).all()
    for row in rows:
        if hmac.compare_digest(row.token_sha256, token_sha256):
            found = Token(row.token_sha256, row.device, row.expires_at, row.state)
    if not rows:
        hmac.compare_digest(_NO_TOKEN, token_sha256)
    if found is None:
        raise TokenRefusedError("wrong token, or no such device")
    if found.state == REPLACED:
        raise TokenRefusedError("the token was replaced by a newer one")
    return found


def reserve(
    connection: Connection, *, device: str, token_sha256: str, spki_sha256: str, serial: int, now: datetime
) -> Certificate:
    """Use the token for this key and record the certificate that will be signed; or return the one it was used for.

    `serial` is taken only for a new reservation. A device that had a certificate was given another token: the old one
    is revoked in the same transaction. The connection has to be one of `writing`. Raises TokenRefusedError
    when the token is wrong, expired, used with another key, or its certificate is revoked or has ended, and
    KeyInUseError when the key belongs to another device.
    """
    token = find_token(connection, device, token_sha256)
    if token.state == USED:
        return _issued_for(connection, token, spki_sha256, now)
    if token.expires_at <= now:
        raise TokenRefusedError("the token has expired")
    status = connection.execute(select(devices.c.status).where(devices.c.device == device)).scalar()
    if status not in (REGISTERED, ACTIVE):
        raise TokenRefusedError(f"the device is {status}")
    owner = owner_of_key(connection, spki_sha256)
    if owner not in (None, device):
        raise KeyInUseError("the public key belongs to another device: make a new key")
    if owner is None:
        connection.execute(public_keys.insert().values(spki_sha256=spki_sha256, device=device))
    superseded = revoke_certificates(connection, device, reason="superseded", now=now)
    connection.execute(update(tokens).where(tokens.c.token_sha256 == token_sha256).values(state=USED, used_at=now))
    connection.execute(
        certificates.insert().values(
            serial=serial_text(serial),
            issuer="device",
            device=device,
            spki_sha256=spki_sha256,
            token_sha256=token_sha256,
            status=RESERVED,
            reserved_at=now,
        )
    )
    connection.execute(update(devices).where(devices.c.device == device).values(status=ACTIVE))
    events.append(
        connection,
        at=now,
        actor=device,
        kind="enrol",
        subject=device,
        detail={"serial": serial_text(serial), "spki_sha256": spki_sha256, "superseded": superseded},
    )
    return _row(connection, serial)


def store_signed(
    connection: Connection, serial: int, *, der: bytes, not_before: datetime, not_after: datetime
) -> Certificate:
    """Store the signed certificate of a reservation and return the row as it then is.

    When another worker has stored one for the same reservation, that one stays: the caller must answer what the row
    holds, not what it signed. Raises TokenRefusedError when the reservation was revoked meanwhile.
    """
    connection.execute(
        update(certificates)
        .where(certificates.c.serial == serial_text(serial), certificates.c.status == RESERVED)
        .values(status=ACTIVE, der=der, not_before=not_before, not_after=not_after)
    )
    row = _row(connection, serial)
    if row.status != ACTIVE:
        raise TokenRefusedError(f"the certificate is {row.status}")
    return row


def _issued_for(connection: Connection, token: Token, spki_sha256: str, now: datetime) -> Certificate:
    row = connection.execute(select(certificates).where(certificates.c.token_sha256 == token.token_sha256)).first()
    if row is None or not hmac.compare_digest(row.spki_sha256, spki_sha256):
        raise TokenRefusedError("the token was used with another key")
    issued = certificate_of(row)
    if issued.status not in (RESERVED, ACTIVE):
        raise TokenRefusedError(f"the token's certificate is {issued.status}")
    if issued.not_after is not None and issued.not_after <= now:
        raise TokenRefusedError("the token's certificate has ended")
    return issued


def _row(connection: Connection, serial: int) -> Certificate:
    return certificate_of(
        connection.execute(select(certificates).where(certificates.c.serial == serial_text(serial))).one()
    )
