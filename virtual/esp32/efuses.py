"""The eFuses of a virtual board, in a file: espefuse's own emulation behind the registers that it reads and writes.

Bits go from 0 to 1 and never back, a block that is protected against reading reads as zeros for ever, and all of it
survives a power cut, at whatever programming of a block it comes.
"""

import importlib
from pathlib import Path
from typing import Any

from virtual.esp32.chips import Chip

_WORD = 0xFFFFFFFF
# What the ROM tells of them without an address, by the bit in the flags of GET_SECURITY_INFO.
_FLAGS = {0: "SECURE_BOOT_EN", 2: "ENABLE_SECURITY_DOWNLOAD"}


class PowerCutError(Exception):
    """The board lost its power behind one of the programmings that it was told to survive no longer."""


class Efuses:
    """The controller: its registers, and the file that keeps what was programmed."""

    def __init__(self, path: Path, chip: Chip, mac: bytes, cut: int | None = None) -> None:
        """Open the eFuses of a board; the power goes away behind `cut` programmings."""
        new = not path.exists()
        module = importlib.import_module(f"espefuse.efuse.{chip.name}.emulate_efuse_controller")
        self._chip: Any = module.EmulateEfuseController(str(path))
        self._first = self._chip.REGS.DR_REG_EFUSE_BASE
        self._end = self._first + self._chip.REGS.EFUSE_MEM_SIZE
        self._cut = cut
        if new:
            for address, word in chip.power_on_registers(mac).items():
                if address in self:
                    self._chip.update_reg(address, _WORD, word)
            self._chip.save_to_file()

    def __contains__(self, address: int) -> bool:
        return bool(self._first <= address < self._end)

    def read(self, address: int) -> int:
        """Return a register."""
        return int(self._chip.read_reg(address))

    def write(self, address: int, value: int, mask: int) -> None:
        """Change the bits of a register that are set in `mask`; raise PowerCutError behind the last programming."""
        self._chip.write_reg(address, self.read(address) & ~mask & _WORD | value & mask)
        programs = address == self._chip.REGS.EFUSE_CMD_REG and value & self._chip.REGS.EFUSE_PGM_CMD
        if programs and self._cut is not None:
            self._cut -= 1
            if self._cut <= 0:
                self._chip.save_to_file()
                raise PowerCutError

    def flags(self) -> int:
        """Return what GET_SECURITY_INFO says of them."""
        return sum(1 << bit for bit, name in _FLAGS.items() if self._chip.read_field(name, bitstring=False))
