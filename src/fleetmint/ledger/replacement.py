"""Another one-time token for a device that is known: lost its keys, let its certificate end, or changed its owner."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint.documents.times import time_text
from fleetmint.errors import RegistrationRefusedError, StateError
from fleetmint.ledger import events
from fleetmint.ledger.revocation import revoke_certificates
from fleetmint.ledger.schema import REGISTERED, REPLACED, REVOKED, UNUSED, devices, tokens

# The kind of the event by which a device gets another owner.
TRANSFER = "transfer"
LONGEST = timedelta(days=3650)
LONGEST_OWNER = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NewToken:
    """A token as the ledger stores it: its hash, lower-case hex, and until when it can be used.

    With an `owner` the device changes hands: the one before may have copied its key.
    """

    device: str
    token_sha256: str
    expires_at: datetime
    owner: str | None = None


def add_token(connection: Connection, token: NewToken, *, actor: str, now: datetime) -> bool:
    """Make `token` the one unused token of its device, and the one before it void; return whether it is new.

    The device's certificate stays good until the one that the token gives is in use; when the device gets another
    owner it is revoked at once, and none of its keys is certified again. The connection has to be one of `writing`.
    Raises StateError for a device that is unknown or revoked, and RegistrationRefusedError for a token that cannot be
    one.
    """
    status = connection.execute(select(devices.c.status).where(devices.c.device == token.device)).scalar()
    if status is None:
        raise StateError(f"there is no device {token.device!r} in this ledger: register its batch first")
    if status == REVOKED:
        raise StateError(f"{token.device} is revoked, which is for ever: burn its board again with another identity")
    if not _SHA256.fullmatch(token.token_sha256):
        raise RegistrationRefusedError("a token's hash has to be 64 lower-case hex digits")
    if token.owner is not None and not (1 <= len(token.owner) <= LONGEST_OWNER and token.owner.isprintable()):
        raise RegistrationRefusedError(f"an owner is 1 to {LONGEST_OWNER} printable characters")
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
    detail: dict[str, object] = {
        "token_sha256": token.token_sha256,
        "expires_at": time_text(token.expires_at),
        "replaced": void,
    }
    if token.owner is not None:
        detail["revoked"] = revoke_certificates(connection, token.device, reason="affiliation_changed", now=now)
        detail["owner"] = token.owner
        connection.execute(update(devices).where(devices.c.device == token.device).values(status=REGISTERED))
    kind = "token" if token.owner is None else TRANSFER
    events.append(connection, at=now, actor=actor, kind=kind, subject=token.device, detail=detail)
    return True
