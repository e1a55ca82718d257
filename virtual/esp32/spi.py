"""The registers of a chip, and behind some of them the SPI controller that talks to the flash chip."""

from virtual.esp32.chips import Chip
from virtual.esp32.nor import NorFlash

_START = 1 << 18
_READ_ID = 0x9F
_READ_SFDP = 0x5A
_SFDP_SIGNATURE = int.from_bytes(b"SFDP", "little")


class SpiController:
    """Plain memory, except that writing the start bit runs the flash command in the SPI registers."""

    def __init__(self, chip: Chip, mac: bytes, flash: NorFlash) -> None:
        self._chip = chip
        self._flash = flash
        self._registers = chip.power_on_registers(mac)

    def read(self, address: int) -> int:
        """Return a register; one that was never written is zero."""
        return self._registers.get(address, 0)

    def write(self, address: int, value: int, mask: int) -> None:
        """Change the bits of a register that are set in `mask`."""
        self._registers[address] = self.read(address) & ~mask & 0xFFFFFFFF | value & mask
        if address == self._chip.spi_base and value & _START:
            self._run()
            # the bit goes back to zero when the command is done
            self._registers[address] = 0

    def _run(self) -> None:
        base = self._chip.spi_base
        command = self.read(base + self._chip.spi_user2) & 0xFF
        address = self.read(base + 4) >> (8 if self._chip.spi_address_shifted else 0)
        self._registers[base + self._chip.spi_data] = self._answer(command, address)

    def _answer(self, command: int, address: int) -> int:
        if command == _READ_ID:
            return self._flash.jedec_id
        if command == _READ_SFDP and address == 0:
            return _SFDP_SIGNATURE
        # status registers and resets; nothing is busy or protected
        return 0
