"""The ledger as the bench uses it: who may have an identity, and what a burn that went wrong means for it.

Every step is a transaction of its own. The claim comes before anything is written to the board, so a ledger that cannot
be written stops the burn while the board is as it was.
"""

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from sqlalchemy.engine import Connection, Engine

from fleetmint import commands
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, NameRefusedError, StateError
from fleetmint.flash.job import Board
from fleetmint.ledger import factory as ledger
from fleetmint.ledger import reading, writing
from fleetmint.ledger.attempts import RefusedBoard, count_unseen, refuse_board
from fleetmint.ledger.factory import Unit
from fleetmint.ledger.schema import BURNED, CLAIMED, PLANNED, QUARANTINED, RETURNED, UNSEEN
from fleetmint.x509 import names

# Longer than any burn takes: a claim of another machine that is older was left behind by a station that died.
LEASE = timedelta(minutes=15)
# A board that was burned and not heard of so many times is set aside.
NOT_HEARD_LIMIT = 2


@dataclass(frozen=True)
class Claim:
    """An identity for a board. `fresh`: no board had it before, so one that stayed untouched gives it back."""

    unit: Unit
    fresh: bool

    @property
    def device(self) -> str:
        """The identity."""
        return self.unit.device

    @property
    def is_done(self) -> bool:
        """Whether the board was burned with it already."""
        return self.unit.state == BURNED


class Records:
    """The ledger of one batch, as the worker of one port sees it."""

    def __init__(self, engine: Engine, batch: str, port: str, *, reads_identity: bool = True) -> None:
        # an encrypted NVS does not tell whose it is
        self._reads_identity = reads_identity
        self._engine = engine
        self._batch = batch
        self._port = port
        self._worker = f"{socket.gethostname()}:{os.getpid()}:{port}"

    def to_retire(self, board: Board, since: datetime) -> tuple[str, ...]:
        """Return the identities that have to end, at the gateway too, before the board may get a new one.

        That is what the ledger has for its MAC, unless that was burned after `since` or is only half-burned, and what
        its flash says, if that has ended in this ledger already: the gateway may not know it. Raises BurnError when
        its flash has the live identity of another board.
        """
        with reading(self._engine) as connection:
            bound = ledger.find_unit_of_board(connection, board.mac)
            told = ledger.find_unit(connection, board.device_id) if _is_ours(board.device_id) else None
        if told is not None and told.state != RETURNED and told.mac != board.mac:
            raise BurnError(
                f"{self._port}: the board ({board.mac}) says it is {told.device}, which is the board {told.mac}:"
                " this is a copy. Set it aside",
                BurnCode.IDENTITY,
                board.mac,
            )
        retired = []
        if bound is not None and bound.state in (BURNED, QUARANTINED):
            if bound.finished_at is not None and bound.finished_at < since:
                retired.append(bound.device)
        elif told is not None and told.state == RETURNED:
            retired.append(told.device)
        return tuple(retired)

    def claim(self, board: Board, *, unregistered: bool = False, reprovision: bool = False) -> Claim:
        """Give the board an identity, its own when it has one; `unregistered`: one that no gateway knows, too.

        With `reprovision` an identity that its flash still has is no reason to refuse it.

        Raises BurnError for a board that must not have one: its identity is another's or unknown here, its MAC is that
        of a board that is being burned elsewhere or is done, or it is in quarantine. Raises StateError when the batch
        has none left, and LedgerError when the ledger cannot be written.
        """
        with writing(self._engine) as connection:
            bound = ledger.find_unit_of_board(connection, board.mac)
            self._refuse_foreign(board, bound, reprovision)
            unit = ledger.claim(
                connection,
                self._batch,
                board.mac,
                self._worker,
                port=self._port,
                now=_now(),
                unregistered=unregistered,
            )
        return Claim(unit, bound is None)

    def burned(self, claim: Claim) -> None:
        """Record that the board is done."""
        with writing(self._engine) as connection:
            ledger.record_burned(connection, claim.device, self._worker, now=_now())

    def failed(self, claim: Claim, error: BurnError) -> None:
        """Record that the burn failed: bad flash is set aside, an untouched identity is free again."""
        with writing(self._engine) as connection:
            if error.code.flash_touched and error.code.board_at_fault:
                ledger.quarantine(connection, claim.device, self._worker, str(error), now=_now())
            elif claim.fresh and not error.code.flash_touched:
                ledger.release(connection, claim.device, untouched=True, now=_now())
            else:
                ledger.fail_claim(connection, claim.device, self._worker, str(error), now=_now())

    def not_heard(self, claim: Claim, error: BurnError) -> BurnError:
        """Record that a burned device was not heard of; the last time sets it aside. Return what to tell."""
        with writing(self._engine) as connection:
            times = count_unseen(connection, claim.device) + 1
            if times < NOT_HEARD_LIMIT:
                ledger.fail_claim(connection, claim.device, self._worker, str(error), result=UNSEEN, now=_now())
                return BurnError(f"{error}; put it in again to test it once more", error.code, error.mac)
            reason = f"{error}, {times} times"
            ledger.quarantine(connection, claim.device, self._worker, reason, now=_now())
            return BurnError(f"{reason}: it is in quarantine", error.code, error.mac)

    def refused(self, error: BurnError) -> None:
        """Record a board that got no identity."""
        board = RefusedBoard(self._batch, error.mac, self._port, error.code, str(error), _now())
        with writing(self._engine) as connection:
            refuse_board(connection, board, self._worker)

    def _refuse_foreign(self, board: Board, bound: Unit | None, reprovision: bool) -> None:
        mac = board.mac
        if bound is None:
            if board.device_id is not None and not reprovision:
                raise BurnError(
                    f"{self._port}: the board ({mac}) is {board.device_id!r} already, which this site's ledger does not"
                    " know: use another board, or burn it with --reprovision if it is yours",
                    BurnCode.IDENTITY,
                    mac,
                )
            return
        if bound.state == QUARANTINED:
            raise StateError(
                f"{self._port}: the board {mac} is in quarantine as {bound.device} ({bound.reason}): once that is"
                f" mended, {commands.fleetmint('device', 'release', bound.device)}"
            )
        if board.device_id is not None and board.device_id != bound.device and not reprovision:
            raise BurnError(
                f"{self._port}: the board ({mac}) is {board.device_id!r}, but the ledger has its MAC as"
                f" {bound.device}: use another board",
                BurnCode.IDENTITY,
                mac,
            )
        if bound.state == BURNED and board.device_id is None and self._reads_identity:
            raise BurnError(
                f"{self._port}: {mac} is {bound.device} already, and this board does not hold that identity: it is"
                " another board with the same MAC, or it was erased. Set it aside; an erased one takes --reprovision",
                BurnCode.DUPLICATE,
                mac,
            )
        if bound.state == CLAIMED and not self._may_take_over(bound):
            raise BurnError(
                f"{self._port}: a board with the MAC {mac} is being burned as {bound.device} by {bound.claimed_by}:"
                " this is another board with the same MAC, or a station that died a moment ago",
                BurnCode.DUPLICATE,
                mac,
            )

    def _may_take_over(self, bound: Unit) -> bool:
        """Whether the claim is this worker's, or of a worker that is gone."""
        if bound.claimed_by in (None, self._worker) or bound.claimed_at is None:
            return True
        host, _, rest = str(bound.claimed_by).partition(":")
        pid = rest.partition(":")[0]
        if host == socket.gethostname() and pid.isdecimal() and not _is_running(int(pid)):
            return True
        return _now() - bound.claimed_at > LEASE


def count_left(connection: Connection, batch: str) -> int:
    """Return how many devices of the batch are not burned yet."""
    counts = ledger.counts(connection, batch)
    return counts[PLANNED] + counts[CLAIMED]


def _is_ours(told: str | None) -> TypeGuard[str]:
    """Whether what a flash says can be an identity of ours: a database need not take whatever lies there."""
    try:
        return told is not None and bool(names.device_id(told))
    except NameRefusedError:
        return False


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> datetime:
    # A station runs for hours, so each step has its own time.
    return datetime.now(UTC)
