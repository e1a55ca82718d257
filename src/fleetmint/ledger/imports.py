"""Bringing a registration document into the gateway's ledger: decided first, then written in one transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, select, update
from sqlalchemy.engine import Connection

from fleetmint.documents.registration import CertificateEntry, Policy, Registration, TokenEntry
from fleetmint.errors import RegistrationRefusedError
from fleetmint.ledger import events
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    REPLACED,
    REVOKED,
    UNUSED,
    certificates,
    devices,
    keys_elsewhere,
    public_keys,
    tokens,
)

# SQLite allows 999 parameters in a statement before 3.32, PostgreSQL's driver 32,767.
_CHUNK = 500


@dataclass(frozen=True)
class Skipped:
    """A device for which the ledger keeps what it has, and why."""

    device: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """What a document comes to: devices to add, tokens to replace, devices that are as it says, and ones that stay.

    `ruled` are those known before for which the batch wants another policy now.
    """

    added: tuple[TokenEntry | CertificateEntry, ...]
    replaced: tuple[TokenEntry, ...]
    unchanged: int
    skipped: tuple[Skipped, ...]
    ruled: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether importing the document would change the ledger."""
        return bool(self.added or self.replaced or self.ruled)


def decide(connection: Connection, registration: Registration, now: datetime) -> Decision:
    """Compare a document with the ledger; raise RegistrationRefusedError where they contradict each other."""
    known = _known(connection, registration)
    added: list[TokenEntry | CertificateEntry] = []
    replaced: list[TokenEntry] = []
    skipped: list[Skipped] = []
    unchanged = 0
    for entry in registration.entries:
        _refuse_contradiction(entry, registration.batch, known)
        status = known.status.get(entry.device)
        reason = _reason_to_keep(entry, status, known, now)
        if reason is not None:
            skipped.append(Skipped(entry.device, reason))
        elif status is None:
            added.append(entry)
        elif _is_known(entry, known):
            unchanged += 1
        elif isinstance(entry, TokenEntry):
            replaced.append(entry)
    ruled = [device for device, policy in known.policy.items() if policy != registration.policy]
    return Decision(tuple(added), tuple(replaced), unchanged, tuple(skipped), tuple(ruled))


def import_registration(connection: Connection, registration: Registration, *, actor: str, now: datetime) -> Decision:
    """Carry out what `decide` says; the connection has to be one of `writing`."""
    decision = decide(connection, registration, now)
    if not decision.changed:
        return decision
    _add(connection, registration, decision.added, now)
    for device in decision.ruled:
        connection.execute(update(devices).where(devices.c.device == device).values(**asdict(registration.policy)))
    for entry in decision.replaced:
        connection.execute(
            update(tokens).where(tokens.c.device == entry.device, tokens.c.state == UNUSED).values(state=REPLACED)
        )
    _insert(connection, tokens, [_token_row(entry) for entry in decision.replaced])
    given = (*decision.added, *decision.replaced)
    events.append(
        connection,
        at=now,
        actor=actor,
        kind="import",
        subject=registration.batch,
        detail={
            "added": len(decision.added),
            "replaced": len(decision.replaced),
            "document_sha256": registration.sha256,
            "tokens": {each.device: each.token_sha256 for each in given if isinstance(each, TokenEntry)},
            "certificates": {
                each.device: serial_text(each.serial) for each in given if not isinstance(each, TokenEntry)
            },
            "ruled": list(decision.ruled),
            **({"policy": asdict(registration.policy)} if registration.policy != Policy() or decision.ruled else {}),
        },
    )
    return decision


@dataclass(frozen=True)
class _Known:
    """What the ledger already holds of a document: maps from a name, hash or serial to its owner or state."""

    status: dict[str, str] = field(default_factory=dict)
    batch: dict[str, str] = field(default_factory=dict)
    policy: dict[str, Policy] = field(default_factory=dict)
    token_owner: dict[str, str] = field(default_factory=dict)
    token_state: dict[str, str] = field(default_factory=dict)
    key_owner: dict[str, str] = field(default_factory=dict)
    certificate: dict[str, bytes | None] = field(default_factory=dict)


def _known(connection: Connection, registration: Registration) -> _Known:
    known = _Known()
    for row in rows_with(connection, devices, devices.c.device, [entry.device for entry in registration.entries]):
        known.status[row.device], known.batch[row.device] = row.status, row.batch
        if row.status != REVOKED:
            known.policy[row.device] = Policy(row.approval, row.token_binding)
    hashes = [entry.token_sha256 for entry in registration.entries if isinstance(entry, TokenEntry)]
    for row in rows_with(connection, tokens, tokens.c.token_sha256, hashes):
        known.token_owner[row.token_sha256], known.token_state[row.token_sha256] = row.device, row.state
    made = [entry for entry in registration.entries if isinstance(entry, CertificateEntry)]
    for row in rows_with(connection, public_keys, public_keys.c.spki_sha256, [entry.spki_sha256 for entry in made]):
        known.key_owner[row.spki_sha256] = row.device
    there = rows_with(connection, keys_elsewhere, keys_elsewhere.c.spki_sha256, [entry.spki_sha256 for entry in made])
    for row in there:
        known.key_owner.setdefault(row.spki_sha256, row.device)
    serials = [serial_text(entry.serial) for entry in made]
    for row in rows_with(connection, certificates, certificates.c.serial, serials):
        known.certificate[row.serial] = row.der
    return known


def _refuse_contradiction(entry: TokenEntry | CertificateEntry, batch: str, known: _Known) -> None:
    if known.batch.get(entry.device, batch) != batch:
        raise RegistrationRefusedError(
            f"{entry.device} is registered in batch {known.batch[entry.device]!r} already: a name belongs to one batch"
        )
    if isinstance(entry, TokenEntry):
        owner = known.token_owner.get(entry.token_sha256, entry.device)
        what = "token"
    else:
        owner = known.key_owner.get(entry.spki_sha256, entry.device)
        what = "public key"
        serial = serial_text(entry.serial)
        if known.certificate.get(serial, entry.der) != entry.der:
            raise RegistrationRefusedError(f"{entry.device}: another certificate has the serial {serial} already")
    if owner != entry.device:
        raise RegistrationRefusedError(f"{entry.device} has the {what} of {owner}: make the batch again")


def _reason_to_keep(
    entry: TokenEntry | CertificateEntry, status: str | None, known: _Known, now: datetime
) -> str | None:
    if status == REVOKED:
        return "the device is revoked"
    if _is_known(entry, known):
        state = known.token_state.get(entry.token_sha256) if isinstance(entry, TokenEntry) else None
        return "a newer token has replaced this one" if state == REPLACED else None
    if isinstance(entry, TokenEntry) and entry.expires_at <= now:
        return "the token has expired"
    if isinstance(entry, CertificateEntry) and entry.not_after <= now:
        return "the certificate has ended"
    if status == ACTIVE:
        return "the device has a certificate already"
    if status == REGISTERED and isinstance(entry, CertificateEntry):
        return "the device is registered with a token"
    return None


def _is_known(entry: TokenEntry | CertificateEntry, known: _Known) -> bool:
    if isinstance(entry, TokenEntry):
        return entry.token_sha256 in known.token_owner
    return serial_text(entry.serial) in known.certificate


def _add(
    connection: Connection,
    registration: Registration,
    added: Sequence[TokenEntry | CertificateEntry],
    now: datetime,
) -> None:
    with_token = [entry for entry in added if isinstance(entry, TokenEntry)]
    with_certificate = [entry for entry in added if isinstance(entry, CertificateEntry)]

    def device_row(entry: TokenEntry | CertificateEntry) -> dict[str, Any]:
        status = REGISTERED if isinstance(entry, TokenEntry) else ACTIVE
        row = {"device": entry.device, "batch": registration.batch, "status": status, "registered_at": now}
        return {**row, **asdict(registration.policy)}

    _insert(connection, devices, [device_row(entry) for entry in added])
    _insert(connection, tokens, [_token_row(entry) for entry in with_token])
    _insert(
        connection,
        public_keys,
        [{"spki_sha256": entry.spki_sha256, "device": entry.device} for entry in with_certificate],
    )
    _insert(connection, certificates, [_certificate_row(entry, now) for entry in with_certificate])


def _token_row(entry: TokenEntry) -> dict[str, Any]:
    return {
        "token_sha256": entry.token_sha256,
        "device": entry.device,
        "expires_at": entry.expires_at,
        "state": UNUSED,
    }


def _certificate_row(entry: CertificateEntry, now: datetime) -> dict[str, Any]:
    return {
        "serial": serial_text(entry.serial),
        "issuer": "factory",
        "device": entry.device,
        "spki_sha256": entry.spki_sha256,
        "status": ACTIVE,
        "reserved_at": now,
        "not_before": entry.not_before,
        "not_after": entry.not_after,
        "der": entry.der,
    }


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def rows_with(connection: Connection, table: Table, column: "Column[Any]", values: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of `table` whose `column` is one of `values`, however many."""
    for start in range(0, len(values), _CHUNK):
        yield from connection.execute(select(table).where(column.in_(values[start : start + _CHUNK])))
