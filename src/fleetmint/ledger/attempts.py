"""What was tried at the bench: every burn of a unit, and every board that was refused before it got one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import delete, func, select
from sqlalchemy.engine import Connection

from fleetmint.burn_codes import BurnCode
from fleetmint.ledger import events
from fleetmint.ledger.schema import QUARANTINED, UNSEEN, burns, refused_boards


class _Claimed(Protocol):
    """What an attempt needs to know of a unit."""

    @property
    def device(self) -> str: ...
    @property
    def mac(self) -> str | None: ...
    @property
    def port(self) -> str | None: ...


@dataclass(frozen=True)
class RefusedBoard:
    """A board that got no identity. `mac` is None for one that never answered."""

    batch: str
    mac: str | None
    port: str
    code: BurnCode
    reason: str
    at: datetime


def record_attempt(
    connection: Connection, unit: _Claimed, worker: str, result: str, reason: str, now: datetime
) -> None:
    """Record what came of a claimed unit."""
    connection.execute(
        burns.insert().values(
            device=unit.device, mac=unit.mac, port=unit.port, worker=worker, result=result, reason=reason, at=now
        )
    )
    detail = {"mac": unit.mac, "reason": reason, "worker": worker}
    events.append(connection, at=now, actor="factory", kind=result, subject=unit.device, detail=detail)


def count_unseen(connection: Connection, device: str) -> int:
    """Return how many times a device was burned and not heard of, since it was last set aside for anything."""
    set_aside = select(func.max(burns.c.id)).where(burns.c.device == device, burns.c.result == QUARANTINED)
    since = connection.execute(set_aside).scalar() or 0
    unseen = (burns.c.device == device, burns.c.result == UNSEEN, burns.c.id > since)
    return int(connection.execute(select(func.count()).select_from(burns).where(*unseen)).scalar() or 0)


def refuse_board(connection: Connection, board: RefusedBoard, worker: str) -> None:
    """Record that a board got no identity. A board that comes again for the same reason leaves one row, the latest."""
    if board.mac is not None:
        same = (refused_boards.c.mac == board.mac, refused_boards.c.code == board.code.value)
        connection.execute(delete(refused_boards).where(refused_boards.c.batch == board.batch, *same))
    connection.execute(
        refused_boards.insert().values(
            batch=board.batch,
            mac=board.mac,
            port=board.port,
            worker=worker,
            code=board.code.value,
            reason=board.reason,
            at=board.at,
        )
    )


def list_refused(connection: Connection, batch: str) -> tuple[RefusedBoard, ...]:
    """Return the boards that were refused while this batch was burned, oldest first."""
    query = select(refused_boards).where(refused_boards.c.batch == batch).order_by(refused_boards.c.id)
    return tuple(
        RefusedBoard(row.batch, row.mac, row.port, BurnCode(row.code), row.reason, row.at)
        for row in connection.execute(query)
    )
