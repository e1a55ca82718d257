"""Whether events and rows of a gateway's ledger tell the same: who deletes the one leaves the other behind."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from fleetmint.ledger.findings import RESTORE, Finding, revoke_remedy
from fleetmint.ledger.replay import Told, ToldCertificate, replay
from fleetmint.ledger.schema import (
    APPROVED,
    AUTO,
    DENIED,
    REVOKED,
    UNBOUND,
    approvals,
    certificates,
    devices,
    public_keys,
    tokens,
)

# So many of a kind are named one by one.
_NAMED = 20


def of_events(connection: Connection) -> list[Finding]:
    """Return where the rows are not what the events make of them; a chain that is broken is found elsewhere."""
    told = replay(connection)
    if not told.events:
        number = connection.execute(select(func.count()).select_from(devices)).scalar()
        return (
            [Finding(f"there are {number} devices and no events: somebody has deleted them", RESTORE)] if number else []
        )
    found = [
        Finding(f"the event {seq} does not say what events of its kind do", RESTORE) for seq in told.unreadable[:_NAMED]
    ]
    for kind in (_of_devices, _of_tokens, _of_approvals, _of_certificates):
        listed = list(kind(connection, told))
        found += listed[:_NAMED]
        if len(listed) > _NAMED:
            what = f"events and rows differ in {len(listed) - _NAMED} more {kind.__name__.removeprefix('_of_')}"
            found.append(Finding(what, RESTORE))
    return found


def _of_devices(connection: Connection, told: Told) -> Iterator[Finding]:
    rows = {
        str(device): str(status) for device, status in connection.execute(select(devices.c.device, devices.c.status))
    }
    for device in sorted(rows.keys() | told.devices.keys()):
        row, event = rows.get(device), told.devices.get(device)
        if event is None:
            yield Finding(f"{device} is {row}, and no event says that it was registered", _decide(device))
        elif row is None:
            yield Finding(f"{device} is {event} by the events, and the ledger does not have it", RESTORE)
        elif row != event:
            remedy = f"{revoke_remedy(device)}; or {RESTORE}" if event == REVOKED else RESTORE
            yield Finding(f"{device} is {event} by the events, and its row says {row}", remedy)


def _of_tokens(connection: Connection, told: Told) -> Iterator[Finding]:
    rows = {row.token_sha256: row for row in connection.execute(select(tokens))}
    for sha256 in sorted(rows.keys() | told.tokens.keys()):
        row: Any = rows.get(sha256)
        event = told.tokens.get(sha256)
        if event is None or row is None:
            device = row.device if event is None else event.device
            missing = "no event says that it was given out" if event is None else "the ledger does not have it"
            remedy = _decide(device) if event is None else RESTORE
            yield Finding(f"{device} has the token with the hash {sha256[:8]}…, and {missing}", remedy)
        elif (row.device, row.state) != (event.device, event.state):
            yield Finding(
                f"a token of {event.device} is {event.state} by the event {event.seq}, and its row says {row.state}"
                f" of {row.device}",
                RESTORE,
            )


def _of_approvals(connection: Connection, told: Told) -> Iterator[Finding]:
    """What a maker wants before a token is good stands in the import, and each decision of a person in an event."""
    query = select(devices.c.device, devices.c.approval, devices.c.token_binding).order_by(devices.c.device)
    for device, *wants in connection.execute(query):
        policy = told.policies.get(device, {})
        wanted = [policy.get("approval", AUTO), policy.get("token_binding", UNBOUND)]
        if wants != wanted:
            yield Finding(
                f"the events want approval {wanted[0]} and tokens {wanted[1]} of {device}, and its row {wants[0]} and"
                f" {wants[1]}",
                RESTORE,
            )
    kinds = {APPROVED: "approve", DENIED: "deny"}
    for row in connection.execute(select(approvals).where(approvals.c.state.in_(kinds)).order_by(approvals.c.device)):
        if (row.device, row.spki_sha256, kinds[row.state]) not in told.decisions:
            yield Finding(
                f"a request of {row.device} with the key {row.spki_sha256[:8]}… is {row.state}, and no event says that"
                " anybody decided so",
                _decide(row.device),
            )


def _of_certificates(connection: Connection, told: Told) -> Iterator[Finding]:
    rows = {row.serial: row for row in connection.execute(select(certificates))}
    retired = set(
        connection.execute(select(public_keys.c.spki_sha256).where(public_keys.c.retired_at.is_not(None))).scalars()
    )
    for serial in sorted(rows.keys() | told.certificates.keys()):
        row: Any = rows.get(serial)
        event = told.certificates.get(serial)
        if event is None:
            yield Finding(
                f"the certificate {serial} of {row.device} is in no event: somebody has written it into the ledger,"
                " or has deleted what tells of it",
                _decide(row.device),
            )
        elif row is None:
            yield Finding(
                f"the event {event.seq} tells of the certificate {serial} of {event.device}, and the ledger does not"
                " have it",
                f"{RESTORE}; until then it cannot be revoked here",
            )
        else:
            wrong = _differences(row, event)
            if serial in told.retired and row.spki_sha256 not in retired:
                wrong = [*wrong, f"its key was given up by the event {told.retired[serial]}, and may be used again"]
            if wrong:
                yield Finding(f"the certificate {serial} of {row.device}: {'; '.join(wrong)}", RESTORE)


def _differences(row: Any, event: ToldCertificate) -> Sequence[str]:
    """Return in words where a row says something else than its events. A certificate that is superseded ends unsaid."""
    wrong = []
    if row.device != event.device:
        wrong.append(f"the event {event.seq} calls its device {event.device}")
    if event.spki_sha256 not in ("", row.spki_sha256):
        wrong.append(f"the event {event.seq} tells of another public key")
    says = {
        "revoked": (row.status == REVOKED, event.revoked or (row.status == REVOKED and event.superseded)),
        "given for a token": (row.token_sha256 is not None, event.by_token),
        "in use": (row.confirmed_at is not None, event.confirmed),
        "superseded": (row.superseded_at is not None, event.superseded),
        "asked with after that": (row.cloned_at is not None, event.alarmed),
    }
    for what, (by_row, by_event) in says.items():
        if by_row != by_event:
            one, other = ("its row", "no event does") if by_row else (f"the event {event.seq}", "its row does not")
            wrong.append(f"{one} says that it is {what}, and {other}")
    return wrong


def _decide(device: str) -> str:
    """Return what to do where either the row or the missing event is a forgery."""
    return f"{RESTORE}; what is not in the backup was written by nobody who may: {revoke_remedy(device)}"
