"""From here on the events tell of every device, token and certificate: an audit compares them with the rows.

Events of before do not say enough for that, such as which certificates a revocation ended. So the chain gets events
that say what there is now; whoever compares begins with those. A ledger without devices needs none.

A certificate that its device had renewed before the device was revoked is on the list with the device's reason: what is
`superseded` there is of a device that goes on, for whoever has nothing but the list.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_AT_ONCE = 500
_COLUMNS = ("seq", "at", "actor", "kind", "subject", "detail", "previous", "digest")
_CERTIFICATES = (
    "SELECT serial, device, status, token_sha256, confirmed_at, superseded_at, cloned_at FROM certificates"
    " ORDER BY serial"
)


def upgrade() -> None:
    """Append the events, and give the reason of a device's end to all that its device CA had issued to it."""
    op.execute(
        "UPDATE certificates SET revoke_reason = (SELECT devices.revoke_reason FROM devices"
        " WHERE devices.device = certificates.device) WHERE issuer = 'device' AND status = 'revoked'"
        " AND revoke_reason = 'superseded' AND device IN"
        " (SELECT device FROM devices WHERE status = 'revoked' AND revoke_reason IS NOT NULL)"
    )
    devices = [(row.device, row.status) for row in _rows("SELECT device, status FROM devices ORDER BY device")]
    tokens = [
        (row.token_sha256, [row.device, row.state])
        for row in _rows("SELECT token_sha256, device, state FROM tokens ORDER BY token_sha256")
    ]
    certificates = [(row.serial, [row.device, _flags(row)]) for row in _rows(_CERTIFICATES)]
    for name, listed in (("devices", devices), ("tokens", tokens), ("certificates", certificates)):
        for start in range(0, len(listed), _AT_ONCE):
            _append({"version": revision, name: dict(listed[start : start + _AT_ONCE])})


def _rows(query: str) -> list[Any]:
    return list(op.get_bind().execute(sa.text(query)))


def _flags(row: Any) -> str:
    holds = {
        "r": row.status == "revoked",
        "t": row.token_sha256 is not None,
        "c": row.confirmed_at is not None,
        "s": row.superseded_at is not None,
        "a": row.cloned_at is not None,
    }
    return "".join(flag for flag, is_so in holds.items() if is_so)


def _append(detail: dict[str, object]) -> None:
    """Append one event, at the time of the one before: what migrates may have no good clock."""
    last = next(iter(_rows("SELECT seq, at, digest FROM events ORDER BY seq DESC LIMIT 1")), None)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if last is None else last.at
    seq, previous = (1, "0" * 64) if last is None else (last.seq + 1, last.digest)
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    said = [seq, at, "migration", "upgrade", "ledger", text, previous]
    digest = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
    op.get_bind().execute(
        sa.text(
            "INSERT INTO events (seq, at, actor, kind, subject, detail, previous, digest)"
            " VALUES (:seq, :at, :actor, :kind, :subject, :detail, :previous, :digest)"
        ),
        dict(zip(_COLUMNS, (*said, digest), strict=True)),
    )
