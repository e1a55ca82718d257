"""The approval queue: what a token asks for waits here until a person has said yes, where its batch wants that.

    no row ── asks ──> waiting ── operator ──> approved ──> the token is used, as any other
                                           └─> denied

A request is a token with a key. Whoever has copied a token asks with a key of his own: that is another row beside the
first, and the person sees both. To approve one is to deny the others. The rows of a token are few, and a token is the
factory's, so nobody fills a disk from outside.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError, StateError
from fleetmint.ledger import events
from fleetmint.ledger.grants import Token, TokenGrant
from fleetmint.ledger.schema import (
    APPROVED,
    BURNED,
    DENIED,
    MANUAL,
    REVOKED,
    UNUSED,
    WAITING,
    approvals,
    devices,
    tokens,
)
from fleetmint.ledger.statement import Statement

# How soon a device asks again: a person takes longer, and a device that waits costs a handshake each time.
RETRY_SECONDS = 60
# The device's own key, that of a thief, and room for a device that was erased in between.
MOST_KEYS = 4
_STATE = Statement(
    select(approvals.c.state).where(
        approvals.c.token_sha256 == bindparam("token"), approvals.c.spki_sha256 == bindparam("key")
    )
)
_KEY = re.compile(r"[0-9a-f]{8,64}")


class ApprovalPendingError(FleetmintError):
    """What was shown is in order, and a person has to approve it first: ask again in `seconds` with the same key.

    `code` is the reason for a machine. `is_new`: it is not in the queue yet.
    """

    def __init__(self, code: str, message: str, *, is_new: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.seconds = RETRY_SECONDS
        self.is_new = is_new


class PolicyRefusedError(FleetmintError):
    """The token is right, and what it asks for is refused. `code` is the reason for a machine; it may be said."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Approval:
    """One row of `approvals`, with its device's batch and board; `mac` is None until that was handed over."""

    device: str
    batch: str
    key: str
    mac: str | None
    since: datetime
    source: str


@dataclass(frozen=True)
class Decided:
    """What became of a decision: the keys that it approved or denied; none when all was so before."""

    device: str
    keys: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was decided anew."""
        return bool(self.keys)


def refuse_unapproved(connection: Connection, token: Token, spki_sha256: str) -> None:
    """Raise PolicyRefusedError for a key that was denied, ApprovalPendingError unless it is approved or need not be."""
    row = _STATE.first(connection, token=token.token_sha256, key=spki_sha256)
    state = None if row is None else row.state
    if state == DENIED:
        raise PolicyRefusedError("approval_denied", "an operator has denied this request: ask who runs the gateway")
    if state != APPROVED and token.approval == MANUAL:
        message = "an operator has to approve this request: ask again later with the same key"
        raise ApprovalPendingError("approval_pending", message, is_new=state is None)


def refuse_other_board(grant: TokenGrant, token: Token) -> None:
    """Raise unless the board of a token that is good on that board alone says that it is that one.

    ApprovalPendingError until the factory has handed over which one it is, PolicyRefusedError when it is another. A
    MAC is what a device says of itself: docs/threat-model.md says what that is worth.
    """
    if token.mac is None or token.result != BURNED:
        message = "the factory has not handed over which board this device is: ask again later with the same key"
        raise ApprovalPendingError("handover_pending", message)
    if grant.mac != token.mac:
        raise PolicyRefusedError("wrong_board", "the token is good on one board, and this request is not from that")


def enter(connection: Connection, token: Token, spki_sha256: str, *, source: str, now: datetime) -> None:
    """Write down that this key waits for a person; the connection has to be one of `writing`.

    Raises PolicyRefusedError when too many keys have asked with this token.
    """
    known = connection.execute(
        select(approvals.c.spki_sha256).where(approvals.c.token_sha256 == token.token_sha256)
    ).scalars()
    keys = set(known)
    if spki_sha256 in keys:
        return
    if len(keys) >= MOST_KEYS:
        raise PolicyRefusedError(
            "too_many_keys", f"{MOST_KEYS} other keys have asked with this token already: the device needs a new token"
        )
    connection.execute(
        approvals.insert().values(
            token_sha256=token.token_sha256,
            spki_sha256=spki_sha256,
            device=token.device,
            state=WAITING,
            since=now,
            source=source,
        )
    )
    detail = {"spki_sha256": spki_sha256, "source": source}
    events.append(connection, at=now, actor=token.device, kind="wait", subject=token.device, detail=detail)


def list_waiting(connection: Connection, now: datetime) -> tuple[Approval, ...]:
    """Return what can be approved, the oldest first."""
    return tuple(_approval(row) for row in connection.execute(_open(now).where(approvals.c.state == WAITING)))


def approve(connection: Connection, device: str, key: str | None, *, actor: str, now: datetime) -> Decided:
    """Approve a device's request, and deny its others; the connection has to be one of `writing`.

    `key` is the beginning of the SHA-256 of the public key. Raises StateError when nothing of that kind waits, and when
    several keys do and none is named.
    """
    rows = _rows_of(connection, device, key, now)
    # without a key only what waits is meant: what was denied comes back by name alone
    chosen = [row for row in rows if key is not None or row.state != DENIED]
    if len(chosen) > 1:
        raise StateError(
            f"{len(chosen)} keys ask to be {device}: say which is its own with --fingerprint: {_listed(chosen)}"
        )
    if not chosen:
        raise StateError(f"what {device} asked for was denied: name the key to approve it: {_listed(rows)}")
    (one,) = chosen
    others = [
        row
        for row in _rows_of(connection, device, None, now)
        if row.spki_sha256 != one.spki_sha256 and row.state != DENIED
    ]
    _decide(connection, others, DENIED, actor, now)
    return _decide(connection, [one], APPROVED, actor, now, device)


def deny(connection: Connection, device: str, key: str | None, *, actor: str, now: datetime) -> Decided:
    """Deny a device's request with this key, or all of them; raises StateError as `approve` does."""
    return _decide(connection, _rows_of(connection, device, key, now), DENIED, actor, now, device)


def _decide(
    connection: Connection, rows: Sequence[Any], state: str, actor: str, now: datetime, device: str = ""
) -> Decided:
    changing = [row for row in rows if row.state != state]
    for row in changing:
        connection.execute(
            update(approvals)
            .where(*_request(row.token_sha256, row.spki_sha256))
            .values(state=state, decided_at=now, decided_by=actor)
        )
        kind = "approve" if state == APPROVED else "deny"
        detail = {"spki_sha256": row.spki_sha256}
        events.append(connection, at=now, actor=actor, kind=kind, subject=row.device, detail=detail)
    return Decided(device, tuple(row.spki_sha256 for row in changing))


def _rows_of(connection: Connection, device: str, key: str | None, now: datetime) -> list[Any]:
    found = list(connection.execute(_open(now).where(approvals.c.device == device)))
    if key is not None:
        beginning = key.replace(":", "").lower()
        if not _KEY.fullmatch(beginning):
            raise StateError("a key is named by the first 8 or more hexadecimal digits of its SHA-256")
        found = [row for row in found if row.spki_sha256.startswith(beginning)]
    if found:
        return found
    what = f"{device} with the key {key}" if key is not None else device
    raise StateError(
        f"nothing of {what} waits for approval here: it has not asked, its token is used, or it is revoked"
    )


def _open(now: datetime) -> Any:
    """Return the query for what a decision would change: a token that was used or replaced asks for nothing more."""
    return (
        select(approvals, devices.c.batch, devices.c.mac)
        .join(tokens, tokens.c.token_sha256 == approvals.c.token_sha256)
        .join(devices, devices.c.device == approvals.c.device)
        .where(tokens.c.state == UNUSED, tokens.c.expires_at > now, devices.c.status != REVOKED)
        .order_by(approvals.c.since, approvals.c.spki_sha256)
    )


def count_waiting(connection: Connection, now: datetime) -> int:
    """Return how many requests wait."""
    query = _open(now).where(approvals.c.state == WAITING).order_by(None).subquery()
    return int(connection.execute(select(func.count()).select_from(query)).scalar() or 0)


def _request(token_sha256: str, spki_sha256: str) -> tuple[Any, ...]:
    return approvals.c.token_sha256 == token_sha256, approvals.c.spki_sha256 == spki_sha256


def _listed(rows: Sequence[Any]) -> str:
    return ", ".join(f"{row.spki_sha256[:16]} ({row.state}, from {row.source or 'an unknown address'})" for row in rows)


def _approval(row: Any) -> Approval:
    return Approval(row.device, row.batch, row.spki_sha256, row.mac, row.since, row.source)
