"""What a clock that ran ahead has written into a gateway's ledger, and how that is put right.

A certificate that begins in the future is refused everywhere until then. It is revoked, and its token stands for a
reservation with another serial, so that the same token and key get a certificate that is good now; a renewal is
asked for again with the certificate before. Times that only tell
what has been become the time of the repair. Events stay as they are, for the chain's sake: one more is appended, and
those before it are known from then on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.ledger import events
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.findings import Finding
from fleetmint.ledger.schema import ACTIVE, RESERVED, REVOKED, certificates, devices, public_keys, tokens
from fleetmint.timekeeping import TOLERANCE
from fleetmint.x509.authority import new_serial

# Times that say when something was done, by table; the one of a certificate that is replaced goes with it.
_PAST = (
    (devices, ("registered_at", "revoked_at", "result_at")),
    (tokens, ("used_at",)),
    (public_keys, ("retired_at",)),
    (certificates, ("reserved_at", "revoked_at", "confirmed_at", "cloned_at")),
)


@dataclass(frozen=True)
class Early:
    """One thing of `subject`, mostly a device, that the ledger dates `at`, later than now.

    `does` is what the repair does about it. It is empty where only a new token helps.
    """

    subject: str
    what: str
    at: datetime
    does: str

    def finding(self) -> Finding:
        """Return it as an audit tells it."""
        if self.does:
            remedy = f"{commands.gateway('repair-clock', '--check')} says what it would do about it, without --check"
            remedy += " it does it"
        else:
            remedy = f"{commands.fleetmint('token', 'new', self.subject)} gives the device a token for another one"
        return Finding(f"{self.what} is dated {self.at:%Y-%m-%d %H:%M}Z, which is to come: a clock ran ahead", remedy)


def find(connection: Connection, now: datetime) -> tuple[Early, ...]:
    """Return what is dated more than the tolerance after `now`."""
    found = []
    replaced = {row.serial for row in _to_replace(connection, now)}
    for row in _certificates(connection, now):
        begins = row.reserved_at if row.not_before is None else row.not_before
        does = "revoke it, and keep its place for one that begins now" if row.serial in replaced else ""
        if _is_renewal(row):
            does = "revoke it: its device asks again with the one before"
        found.append(Early(row.device, f"the certificate {row.serial} of {row.device}", begins, does))
    for table, columns in _PAST:
        for name in columns:
            query = select(table).where(table.c[name] > now + TOLERANCE).order_by(table.c.device)
            found += [
                Early(
                    row.device,
                    f"{name} in the ledger's {table.name} of {row.device}",
                    getattr(row, name),
                    "set it to now",
                )
                for row in connection.execute(query)
                if table is not certificates or row.serial not in replaced
            ]
    return (*found, *_events(events.later_than(connection, now + TOLERANCE)))


def repair(connection: Connection, *, subject: str, actor: str, now: datetime) -> tuple[Early, ...]:
    """Put right what `find` returns, and return that; the connection has to be one of `writing`.

    One transaction: all of it is done, or nothing. A second time there is nothing to do.
    """
    found = find(connection, now)
    if not any(each.does for each in found):
        return found
    renewals = [row.serial for row in _certificates(connection, now) if _is_renewal(row)]
    connection.execute(
        update(certificates)
        .where(certificates.c.serial.in_(renewals))
        .values(status=REVOKED, revoked_at=now, revoke_reason="superseded")
    )
    new = {}
    for row in _to_replace(connection, now):
        new[row.serial] = serial_text(new_serial())
        _replace(connection, row, new[row.serial], now)
    for table, columns in _PAST:
        for name in columns:
            connection.execute(update(table).where(table.c[name] > now + TOLERANCE).values({name: now}))
    detail = {"replaced": new, "revoked": renewals, "found": len(found)}
    events.append(connection, at=now, actor=actor, kind=events.CLOCK_REPAIRED, subject=subject, detail=detail)
    return found


def _certificates(connection: Connection, now: datetime) -> list[Any]:
    """Return what can be used, or signed, only later: the begin of what is reserved is when that was."""
    limit = now + TOLERANCE
    signed = (certificates.c.status == ACTIVE) & (certificates.c.not_before > limit)
    reserved = (certificates.c.status == RESERVED) & (certificates.c.reserved_at > limit)
    return list(connection.execute(select(certificates).where(signed | reserved).order_by(certificates.c.device)))


def _is_renewal(row: Any) -> bool:
    """Whether a device has another certificate, since nothing has confirmed this one."""
    return row.token_sha256 is None and row.predecessor is not None and row.confirmed_at is None


def _to_replace(connection: Connection, now: datetime) -> list[Any]:
    """Return those of the gateway's own CA with a token. The factory's come from the controller, keys and all."""
    return [row for row in _certificates(connection, now) if row.issuer == "device" and row.token_sha256 is not None]


def _replace(connection: Connection, row: Any, serial: str, now: datetime) -> None:
    old = {"status": REVOKED, "revoked_at": now, "revoke_reason": "superseded", "token_sha256": None}
    connection.execute(update(certificates).where(certificates.c.serial == row.serial).values(**old))
    connection.execute(
        certificates.insert().values(
            serial=serial,  # one that was reserved may have been signed, and never stored
            issuer=row.issuer,
            device=row.device,
            spki_sha256=row.spki_sha256,
            token_sha256=row.token_sha256,
            status=RESERVED,
            reserved_at=now,
            predecessor=row.predecessor if row.confirmed_at is None else row.serial,
        )
    )


def _events(rows: Iterable[Any]) -> list[Early]:
    """Return one Early for all events of a subject."""
    mine: dict[str, list[Any]] = {}
    for row in rows:
        mine.setdefault(row.subject, []).append(row)
    found = []
    for subject, listed in mine.items():
        more = f" and {len(listed) - 1} more" if listed[1:] else ""
        what = f"event {listed[0].seq}{more} ({listed[0].kind}) of {subject}"
        found.append(Early(subject, what, max(row.at for row in listed), "append an event that acknowledges it"))
    return found
