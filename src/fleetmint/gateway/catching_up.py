"""What newer CRLs say of an older ledger: who has ended since, who only went on, and who needs a new token.

A device CA gives the reason of a device's end, or of its change of owner, to all that it had issued to that device. So
`superseded` on its list means a device that goes on, whose newer certificate an older ledger may not know. It shows
that one, and is adopted (ledger/adoption.py), or recovers with the key of the one before. Lists of the version before,
and those of the factory CA, are not that exact: where they also end certificates that nobody here knows, a device that
is said to have gone on may be the one that ended. It is not let in by a certificate then, and not ended: a person gives
it a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from fleetmint.documents.times import time_text
from fleetmint.ledger import events
from fleetmint.ledger.adoption import RESTORED
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.head import Head
from fleetmint.ledger.revocation import revoke, withdraw
from fleetmint.ledger.schema import REVOKED, UNUSED, certificates, tokens
from fleetmint.ledger.schema import events as chain
from fleetmint.ledger.succession import SUPERSEDED
from fleetmint.x509 import revocation

_CHANGED_OWNER = "affiliation_changed"


@dataclass(frozen=True)
class Lists:
    """The newest CRLs that there are, of the device CAs and of the factory CA."""

    device: Sequence[x509.CertificateRevocationList]
    factory: Sequence[x509.CertificateRevocationList]


@dataclass(frozen=True)
class Since:
    """What has happened to devices since: the reason by the name of those that ended, and of those in doubt why.

    `unknown` is how many certificates have ended, and not by a renewal, that the ledger does not know.
    """

    ended: dict[str, str]
    withdrawn: dict[str, str]
    unknown: int


def since(connection: Connection, lists: Lists) -> Since:
    """Compare the certificates that an older ledger has in use with newer lists."""
    known = {row.serial: row for row in connection.execute(select(certificates))}
    unknown = {
        entry.serial
        for crl in lists.device
        for entry in revocation.entries(crl)
        if entry.reason != SUPERSEDED and serial_text(entry.serial) not in known
    }
    ended: dict[str, str] = {}
    withdrawn: dict[str, str] = {}
    for crl in (*lists.device, *lists.factory):
        exact = revocation.ledger_head(crl) is not None
        for entry in revocation.entries(crl):
            row = known.get(serial_text(entry.serial))
            if row is None or row.status == REVOKED:
                continue
            if entry.reason == _CHANGED_OWNER:
                withdrawn[row.device] = "it has changed its owner"
            elif entry.reason != SUPERSEDED:
                ended[row.device] = entry.reason
            elif unknown and not exact and row.superseded_at is None:
                withdrawn.setdefault(row.device, "it went on, and what it had then may be among what ended since")
    doubtful = {device: why for device, why in withdrawn.items() if device not in ended}
    return Since(ended, doubtful, len(unknown))


def unused_tokens(connection: Connection) -> int:
    """Return how many tokens may have been used since."""
    found: int = connection.execute(select(func.count()).where(tokens.c.state == UNUSED)).scalar_one()
    return found


def bring_up_to_date(
    connection: Connection, lists: Lists, backup: Head, *, crl_number: int, keep_tokens: bool, now: datetime
) -> None:
    """Let an older ledger, which ended with `backup`, follow newer lists; the connection has to be one of `writing`."""
    found = since(connection, lists)
    last = connection.execute(select(chain.c.at).where(chain.c.seq == backup.seq)).scalar()
    for device, reason in sorted(found.ended.items()):
        revoke(connection, device, reason=reason, actor=RESTORED, now=now)
    for device in sorted(found.withdrawn):
        withdraw(connection, device, reason=_CHANGED_OWNER, actor=RESTORED, now=now)
    void = 0
    if not keep_tokens:
        void = unused_tokens(connection)
        # ended, not taken away: the device waits for another one
        connection.execute(update(tokens).where(tokens.c.state == UNUSED).values(expires_at=now))
    detail = {
        "backup": backup.values(),
        "since": None if last is None else time_text(last),
        "revoked": sorted(found.ended),
        "withdrawn": sorted(found.withdrawn),
        "void_tokens": void,
        "crl_number": crl_number,
    }
    events.append(connection, at=now, actor=RESTORED, kind=RESTORED, subject="ledger", detail=detail)
