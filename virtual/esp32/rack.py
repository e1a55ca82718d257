"""Slots of a bench with virtual boards to put in and take out, many in one process; their programs do not run."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from virtual.esp32.board import Board, UnpluggedError
from virtual.esp32.chips import CHIPS
from virtual.esp32.faults import Faults
from virtual.esp32.firmware import install_file
from virtual.esp32.nor import NorFlash
from virtual.esp32.port import Port
from virtual.esp32.program import Nothing

_TICK = 0.05


@dataclass
class Blank:
    """A board that lies on the table: what it is, and what it will do wrong. Its flash is the file `flash`."""

    mac: str
    flash: Path
    chip: str = "esp32"
    size: int = 0x400000
    faults: Faults = field(default_factory=Faults)
    registers: dict[int, int] = field(default_factory=dict)
    micropython: bool = True


class Slot:
    """One place of the rack: `port` is there while a board is in it."""

    def __init__(self, port: Path, *, paced: bool = False) -> None:
        self.port = port
        self._paced = paced
        # how long the line was busy, of the boards that were taken out
        self.wire_seconds = 0.0
        self._thread: threading.Thread | None = None
        self._out = threading.Event()

    def put(self, blank: Blank) -> None:
        """Put a board in; the one before is taken out."""
        self.take()
        self._out.clear()
        chip = CHIPS[blank.chip]
        chip = replace(chip, registers={**chip.registers, **blank.registers})
        if blank.micropython:
            install_file(blank.flash, blank.chip, blank.size)
        mac, flash = bytes.fromhex(blank.mac.replace(":", "")), NorFlash(blank.flash, blank.size)
        board = Board(chip, mac, flash, Port(self.port, paced=self._paced), Nothing(), blank.faults)
        self._thread = threading.Thread(target=self._run, args=(board,), daemon=True)
        self._thread.start()

    def take(self) -> None:
        """Take the board out, whatever is going on."""
        self._out.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _run(self, board: Board) -> None:
        try:
            while not self._out.is_set():
                board.step(_TICK)
        except UnpluggedError:
            pass
        finally:
            self.wire_seconds += board.port.wire_seconds
            board.close()
