"""One board on one port: identify it, claim an identity, burn, test, and record what came of it.

    identify → claim → burn and verify → reset → test → record

The claim is one transaction of the ledger, made before anything is written, and binds the identity to the MAC: a burn
that was cut is taken up by the same board with the same identity, and never by another one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.engine import Engine

from fleetmint import commands
from fleetmint.batch.encryption import HMAC, NONE
from fleetmint.batch.identity import NVS
from fleetmint.bench.efuse import device_of, has_key
from fleetmint.bench.outcome import BURNED, BURNING, FAILED, IDENTIFY, KEPT, TESTING, Outcome, Watch
from fleetmint.bench.records import Claim, Records
from fleetmint.bench.regions import FileRegions, Regions
from fleetmint.bench.update import Update, differences, hint
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError, ImageError, LedgerError
from fleetmint.flash.burn import Progress, Worker
from fleetmint.flash.console import Eavesdropper
from fleetmint.flash.job import ESP8266, Board, Job, Result

# Raises BurnError with NOT_HEARD when the device was not heard of after its reset, with MONITOR_LOST when that could
# not be found out.
Test = Callable[[str], None]
# Ends the identity of a device for ever, at the gateway too; raises FleetmintError when that is not confirmed.
Retire = Callable[[str], None]


@dataclass(frozen=True)
class Station:
    """What all ports of one bench share."""

    batch: str
    regions: Regions | FileRegions
    engine: Engine
    watch: Watch
    baud: int
    unregistered: bool = False
    test: Test | None = None
    retire: Retire | None = None
    # boards that were burned after this are not reprovisioned again
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def serve(self, worker: Worker, *, baud: int | None = None, attempts: int = 7) -> Outcome:
        """Burn the board at the worker's port and return what came of it.

        Whatever is wrong with the board is an outcome. Raises LedgerError alone: no port can go on without the ledger.
        """
        port = worker.port
        known = self.regions.known
        # an encrypted NVS and a file system do not tell whose they are
        plain = known.nvs_encryption == NONE and known.chip != ESP8266
        records = Records(self.engine, self.batch, port, reads_identity=plain)
        self.watch(Outcome(port, IDENTIFY))
        mac: str | None = None
        try:
            board = worker.identify(connect_attempts=attempts, baud=baud or self.baud, hold=True)
            mac = board.mac
            outcome = self._serve(worker, board, records)
        except LedgerError:
            worker.close()
            raise
        except BurnError as error:
            if error.code.board_at_fault and not error.code.flash_touched:
                records.refused(error)
            outcome = Outcome(port, FAILED, mac=mac or error.mac, reason=str(error), code=error.code)
        except FleetmintError as error:
            outcome = Outcome(port, FAILED, mac=mac, reason=str(error))
        self.watch(outcome)
        return outcome

    def refuse(self, outcome: Outcome) -> None:
        """Record a board that never answered: that is certain only when it is taken out."""
        Records(self.engine, self.batch, outcome.port).refused(BurnError(outcome.reason, BurnCode.NO_ANSWER))

    def _serve(self, worker: Worker, board: Board, records: Records) -> Outcome:
        claim = self._claim(worker, board, records)
        if claim.is_done:
            reason = f"the board is {claim.device} already{self._stale(worker, board, claim.device)}"
            worker.release()
            return Outcome(worker.port, KEPT, claim.device, board.mac, reason=reason)
        result = self._burn(worker, board, records, claim)
        if self.test is not None:
            self.watch(Outcome(worker.port, TESTING, claim.device, board.mac))
            try:
                self._hear(worker.port, self.test, claim.device)
            except BurnError as error:
                if error.code is BurnCode.NOT_HEARD:
                    raise records.not_heard(claim, error) from error
                records.failed(claim, error)
                raise
        records.burned(claim)
        return Outcome(worker.port, BURNED, claim.device, board.mac, result.seconds)

    @staticmethod
    def _hear(port: str, test: Test, device: str) -> None:
        """Test the device, and quote what its board said meanwhile when it is not heard of."""
        with Eavesdropper(port) as board:
            try:
                test(device)
            except BurnError as error:
                if error.code is not BurnCode.NOT_HEARD:
                    raise
                raise BurnError(f"{error}{board.quote()}", error.code, error.mac) from error

    def _stale(self, worker: Worker, board: Board, device: str) -> str:
        """Return what to say of a board that is done and has not what the batch has by now; empty when it has."""
        if not isinstance(self.regions, Regions) or board.device_id != device:
            return ""  # an encrypted NVS and a file system are not compared
        wanted = Update(self.regions.app if self.regions.program else None, self.regions.known.settings.wifi_of(device))
        try:
            return hint(worker.port, differences(worker, board, wanted), self.regions.app)
        except ImageError:
            return ""  # it has no file system of ours

    def _claim(self, worker: Worker, board: Board, records: Records) -> Claim:
        try:
            self._check(worker, board)
            if self.retire is not None:
                for device in records.to_retire(board, self.since):
                    self.retire(device)
                return records.claim(board, unregistered=self.unregistered, reprovision=True)
            return records.claim(board, unregistered=self.unregistered)
        except FleetmintError:
            worker.release()
            raise

    def _check(self, worker: Worker, board: Board) -> None:
        port = worker.port
        known = self.regions.known
        chip = known.chip
        if board.chip != chip:
            raise BurnError(
                f"{port}: the board is an {board.chip}, the batch is for {chip}", BurnCode.WRONG_CHIP, board.mac
            )
        self.regions.check(port, board)
        self.regions.check_firmware(port, board, worker.read)
        if self.retire is None and isinstance(self.regions, Regions) and known.identity != NVS:
            self.regions.check_holder(port, board, worker.read, device_of(self.engine, board.mac, self.batch))
        if known.nvs_encryption == HMAC:
            self._refuse_without_key(port, board)

    def _refuse_without_key(self, port: str, board: Board) -> None:
        device = device_of(self.engine, board.mac, self.batch)
        key = self.regions.known.of(device).nvs_key if device else None
        if device is None or key is None or not has_key(self.engine, device, board.mac, key):
            raise BurnError(
                f"{port}: the board ({board.mac}) has no key for its encrypted NVS yet, and its firmware would burn one"
                f" of its own: run {commands.fleetmint('efuse', self.batch, '--port', port)} first",
                BurnCode.NO_KEY,
                board.mac,
            )

    def _burn(self, worker: Worker, board: Board, records: Records, claim: Claim) -> Result:
        def show(step: Progress) -> None:
            self.watch(
                Outcome(
                    worker.port, BURNING, claim.device, board.mac, region=step.region, done=step.done, total=step.total
                )
            )

        try:
            regions = self.regions.of(claim.device, board, datetime.now(UTC))
            return worker.burn(
                Job(worker.port, board.chip, regions, self.baud, reprovision=self.retire is not None), show
            )
        except BurnError as error:
            records.failed(claim, error)
            raise
        except FleetmintError as error:
            # an identity that makes no image: the board is untouched
            worker.release()
            records.failed(claim, BurnError(str(error), BurnCode.IMAGE, board.mac))
            raise
