"""What gives the right to a certificate: a token, a certificate in use, or one that has ended not long ago."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError
from fleetmint.ledger.devices import Certificate, find_certificate, serial_text
from fleetmint.ledger.schema import ACTIVE, REPLACED, certificates, devices, tokens
from fleetmint.ledger.statement import Statement

_NO_TOKEN = "0" * 64

_TOKENS = Statement(
    select(
        tokens.c.token_sha256,
        tokens.c.device,
        tokens.c.expires_at,
        tokens.c.state,
        devices.c.status,
        devices.c.approval,
        devices.c.token_binding,
        devices.c.mac,
        devices.c.result,
    )
    .select_from(tokens.join(devices, devices.c.device == tokens.c.device))
    .where(tokens.c.device == bindparam("of"))
)
_STATUS = Statement(select(devices.c.status).where(devices.c.device == bindparam("of")))
_HEIR = Statement(
    select(certificates.c.serial).where(
        certificates.c.predecessor == bindparam("of"), certificates.c.confirmed_at.is_not(None)
    )
)


class GrantRefusedError(FleetmintError):
    """What was shown gives no right to a certificate. The message is for the journal: strangers are told nothing."""


class SupersededError(GrantRefusedError):
    """The certificate has a successor that is in use. `serial` is its own."""

    def __init__(self, serial: int) -> None:
        super().__init__(f"a successor of the certificate {serial_text(serial)} is in use already")
        self.serial = serial


@dataclass(frozen=True)
class TokenGrant:
    """A device shows its one-time token, by the hash of it: lower-case hex; `mac` is the board that it says it is."""

    device: str
    token_sha256: str
    mac: str | None = None


@dataclass(frozen=True)
class LiveGrant:
    """A device has connected with its certificate `serial`, which a listener has verified."""

    serial: int


@dataclass(frozen=True)
class GraceGrant:
    """A device shows its certificate `serial`, and has signed with its key; it may have ended `grace` ago."""

    serial: int
    grace: timedelta


Grant = TokenGrant | LiveGrant | GraceGrant


@dataclass(frozen=True)
class Token:
    """One row of `tokens`: `state` is unused, used or replaced; `expires_at` is aware UTC. The rest is the device's."""

    token_sha256: str
    device: str
    expires_at: datetime
    state: str
    status: str
    approval: str
    token_binding: str
    mac: str | None
    result: str | None


def find_token(connection: Connection, device: str, token_sha256: str) -> Token:
    """Return the token of `device` with this hash; raise GrantRefusedError when it has none or it is replaced.

    The hashes are compared in constant time, one at least, so that a device that does not exist costs the same.
    """
    found = None
    rows = _TOKENS.all(connection, of=device)
    for row in rows:
        if hmac.compare_digest(row.token_sha256, token_sha256):
            found = Token(*row)
    if not rows:
        hmac.compare_digest(_NO_TOKEN, token_sha256)
    if found is None:
        raise GrantRefusedError("wrong token, or no such device")
    if found.state == REPLACED:
        raise GrantRefusedError("the token was replaced by a newer one")
    return found


def check_certificate(connection: Connection, grant: LiveGrant | GraceGrant, now: datetime) -> Certificate:
    """Return the certificate of a grant; raise SupersededError or GrantRefusedError when it gives no right `now`."""
    shown = find_certificate(connection, grant.serial)
    if shown is None:
        raise GrantRefusedError("the certificate is not in the ledger")
    # the list of its CA may have revoked it since
    if shown.superseded_at is not None and _HEIR.first(connection, of=serial_text(shown.serial)) is not None:
        raise SupersededError(shown.serial)
    if shown.status != ACTIVE:
        raise GrantRefusedError(f"the certificate is {shown.status}")
    device = _STATUS.first(connection, of=shown.device)
    if device is None or device.status != ACTIVE:
        raise GrantRefusedError(f"the device is {'gone' if device is None else device.status}")
    grace = grant.grace if isinstance(grant, GraceGrant) else timedelta(0)
    if shown.not_after is None or shown.not_after + grace <= now:
        raise GrantRefusedError("the certificate has ended" if not grace else "the certificate has ended too long ago")
    return shown
