"""Another one-time token for a device that is known: lost its keys, let its certificate end, or changed its owner."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint.errors import RegistrationRefusedError, StateError
from fleetmint.ledger import events
from fleetmint.ledger.columns import time_text
from fleetmint.ledger.schema import REPLACED, REVOKED, UNUSED, devices, tokens

LONGEST = timedelta(days=3650)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NewToken:
    """A token as the ledger stores it: its hash, lower-case hex, and until when it can be used."""

    device: str
    token_sha256: str
    expires_at: datetime


def add_token(connection: Connection, token: NewToken, *, actor: str, now: datetime) -> bool:
    """Make `token` the one unused token of its device, and the one before it void; return whether it is new.

    The device's certificate stays good until the token is used. The connection has to be one of `writing`. Raises
    StateError for a device that is unknown or revoked, and RegistrationRefusedError for a token that cannot be one.
    """
    status = connection.execute(select(devices.c.status).where(devices.c.device == token.device)).scalar()
    if status is None:
        raise StateError(f"there is no device {token.device!r} in this ledger: register its batch first")
    if status == REVOKED:
        raise StateError(f"{token.device} is revoked, which is for ever: burn its board again with another identity")
    if not _SHA256.fullmatch(token.token_sha256):
        raise RegistrationRefusedError("a token's hash has to be 64 lower-case hex digits")
    if not now < token.expires_at <= now + LONGEST:
        raise RegistrationRefusedError(
            f"a token may last until {now + LONGEST:%Y-%m-%d}, not until {token.expires_at:%Y-%m-%d %H:%M}Z"
        )
    known = connection.execute(select(tokens).where(tokens.c.token_sha256 == token.token_sha256)).first()
    if known is not None:
        if known.device != token.device or known.state != UNUSED:
            raise RegistrationRefusedError("this token was given out before: make a new one")
        return False
    mine = (tokens.c.device == token.device, tokens.c.state == UNUSED)
    void = connection.execute(update(tokens).where(*mine).values(state=REPLACED)).rowcount
    connection.execute(
        tokens.insert().values(
            token_sha256=token.token_sha256, device=token.device, expires_at=token.expires_at, state=UNUSED
        )
    )
    detail = {"expires_at": time_text(token.expires_at), "replaced": void}
    events.append(connection, at=now, actor=actor, kind="token", subject=token.device, detail=detail)
    return True
