"""One virtual ESP32: port, ROM, flash and program, put together.

Who opens the port hears the program, until the first packet for the ROM: a pseudo-terminal has no reset line, so that
packet stands for the reset into the ROM, in which the program does not run. A port that is closed after that stands for
the reset that esptool asks for: the board boots from its flash.
"""

from dataclasses import dataclass
from pathlib import Path

from fleetmint.errors import ImageError
from fleetmint.flash.firmware import IMAGE_MAGIC
from fleetmint.flash.job import ESP8266
from fleetmint.flash.table import TABLE_OFFSET, TABLE_SIZE, PartitionTable
from virtual.esp32 import slip
from virtual.esp32.chips import Chip
from virtual.esp32.efuses import Efuses
from virtual.esp32.faults import Faults
from virtual.esp32.nor import NorFlash
from virtual.esp32.port import Port
from virtual.esp32.program import Runs
from virtual.esp32.rom import Rom

_TICK = 0.5
_CONSOLE_TICK = 0.05


class UnpluggedError(Exception):
    """The board was pulled out of its port."""


@dataclass
class Board:
    """A board with power: `step` has to be called again and again."""

    chip: Chip
    mac: bytes
    flash: NorFlash
    port: Port
    program: Runs
    faults: Faults
    efuses: Efuses | None = None

    def __post_init__(self) -> None:
        self._rom: Rom | None = None
        self._decoder = slip.Decoder()
        self._boots = False
        self._listened = False
        self._power_on()

    def step(self, timeout: float = _TICK) -> None:
        """Wait up to `timeout` seconds for something to do, and do it; raise UnpluggedError when it is pulled out."""
        received = self.port.wait(min(timeout, _CONSOLE_TICK) if self._listened else timeout)
        if not self.port.is_open:
            if self._rom is not None:
                self._rom = None
                self._power_on()
            self._listened = False
            self._decoder = slip.Decoder()
            self.program.output()  # nobody hears it
            if self._boots:
                self.program.tick()
            return
        packets = self._decoder.feed(received)
        if self._rom is None and not packets:
            self._listened = True
            if self._boots:
                self.program.tick()
            self.port.send(self.program.output().replace(b"\n", b"\r\n"))
            return
        if self._rom is None:
            self.program.stop()
            self._listened = False
            self._rom = Rom(self.chip, self.mac, self.flash, self.faults, self.efuses)
        for packet in packets:
            for answer in self._rom.handle(packet):
                self.port.send(slip.encode(answer))
            self.port.baud = self._rom.baud
            if self._rom.is_unplugged:
                raise UnpluggedError

    def close(self) -> None:
        """Cut the power."""
        self.program.stop()
        self.port.close()
        self.flash.close()

    def _power_on(self) -> None:
        missing = self._missing()
        self._boots = not missing
        if missing:
            self.program.log(f"nothing to boot: {missing}")
        else:
            self.program.power_on()

    def _missing(self) -> str:
        # What keeps the program in the flash from being started; an ESP8266 starts whatever is at its beginning.
        if self.chip.name == ESP8266:
            return "" if self.flash.read(0, 1)[0] == IMAGE_MAGIC else "no image"
        try:
            PartitionTable.from_bytes(self.flash.read(TABLE_OFFSET, TABLE_SIZE))
        except ImageError as error:
            return str(error)
        return ""


def flash_file(directory: Path) -> Path:
    """Return the path of the flash of the board in `directory`."""
    return directory / "flash.bin"
