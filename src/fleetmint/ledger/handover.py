"""What a handover comes to in the gateway's ledger (documents/handover.py says what one is)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.documents.handover import Entry, Handover
from fleetmint.errors import RegistrationRefusedError
from fleetmint.ledger import events
from fleetmint.ledger.imports import Skipped, rows_with
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import RETURNED, REVOKED, devices

# A bench whose clock is ahead would keep every later word out.
_AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Decision:
    """What a document comes to: devices whose board is news, those that are revoked by it, and those that stay."""

    updated: tuple[Entry, ...]
    revoked: tuple[str, ...]
    unchanged: int
    skipped: tuple[Skipped, ...]

    @property
    def changed(self) -> bool:
        """Whether importing the document would change the ledger."""
        return bool(self.updated)


def decide(connection: Connection, handover: Handover, now: datetime) -> Decision:
    """Compare a document with the ledger; raise RegistrationRefusedError where they contradict each other."""
    rows = rows_with(connection, devices, devices.c.device, [entry.device for entry in handover.entries])
    known = {row.device: row for row in rows}
    updated, revoked, skipped = [], [], []
    for entry in handover.entries:
        row = _known(known, entry, handover.batch)
        if entry.at > now + _AHEAD:
            raise RegistrationRefusedError(
                f"{entry.device} is said to be {entry.result} at {entry.at:%Y-%m-%d %H:%M}Z, which is to come: set the"
                " clock of the bench, or of this gateway"
            )
        if (row.result, row.mac, row.result_at) == (entry.result, entry.mac, entry.at):
            continue
        if row.result_at is not None and entry.at <= row.result_at:
            skipped.append(Skipped(entry.device, f"it was {row.result} later than the document knows"))
        elif row.status == REVOKED and row.result == RETURNED:
            skipped.append(Skipped(entry.device, "it was returned, which is for ever"))
        else:
            updated.append(entry)
            if entry.result == RETURNED and row.status != REVOKED:
                revoked.append(entry.device)
    _refuse_shared_boards(connection, updated)
    unchanged = len(handover.entries) - len(updated) - len(skipped)
    return Decision(tuple(updated), tuple(revoked), unchanged, tuple(skipped))


def import_handover(connection: Connection, handover: Handover, *, actor: str, now: datetime) -> Decision:
    """Carry out what `decide` says; the connection has to be one of `writing`."""
    decision = decide(connection, handover, now)
    if not decision.changed:
        return decision
    for entry in decision.updated:
        values = {"mac": entry.mac, "result": entry.result, "result_at": entry.at}
        connection.execute(update(devices).where(devices.c.device == entry.device).values(**values))
    for device in decision.revoked:
        revoke(connection, device, reason="cessation_of_operation", actor=actor, now=now)
    detail = {
        "updated": len(decision.updated),
        "revoked": len(decision.revoked),
        "document_sha256": handover.sha256,
    }
    events.append(connection, at=now, actor=actor, kind="handover", subject=handover.batch, detail=detail)
    return decision


def _known(known: Mapping[str, Any], entry: Entry, batch: str) -> Any:
    row = known.get(entry.device)
    if row is None:
        raise RegistrationRefusedError(
            f"{entry.device} is not registered here: register the batch first with"
            f" {commands.fleetmint('batch', 'register', batch)}"
        )
    if row.batch != batch:
        raise RegistrationRefusedError(f"{entry.device} is of the batch {row.batch!r} here, not of {batch!r}")
    return row


def _refuse_shared_boards(connection: Connection, updated: list[Entry]) -> None:
    """A board is one device that is not revoked; a board that got another identity was returned before."""
    wanted = {entry.mac: entry.device for entry in updated if entry.result != RETURNED}
    ending = {entry.device for entry in updated if entry.result == RETURNED}
    # Entries of the same document that move to another board free theirs.
    moving = {entry.device for entry in updated}
    for row in rows_with(connection, devices, devices.c.mac, list(wanted)):
        if row.device in ending | moving or row.status == REVOKED:
            continue
        back = commands.fleetmint("device", "return", row.device, "--reason", "REASON")
        raise RegistrationRefusedError(
            f"the board {row.mac} is {row.device} here, and cannot be {wanted[row.mac]} too: hand over the batch"
            f" {row.batch!r} first if that device was returned ({back})"
        )
