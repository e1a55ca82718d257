"""What esptool can tell the chips apart by: identification, eFuses, and where the SPI registers are.

Source: esptool's target classes, and the "Serial Protocol" page of its documentation.
"""

import struct
from dataclasses import dataclass, field

# A chip without GET_SECURITY_INFO is known by the word at this address of its ROM.
MAGIC_REGISTER = 0x40001000


@dataclass(frozen=True)
class Chip:
    """The facts of one chip; addresses are those of the registers that esptool reads or writes."""

    name: str
    # chip_id of GET_SECURITY_INFO; None on a chip that does not know the command
    security_id: int | None
    # two words: the last four bytes of the MAC, then the first two; on an esp8266 four words, in another order
    mac_register: int
    spi_base: int
    spi_user2: int
    spi_data: int
    # whether an address in the SPI address register is at its upper end
    spi_address_shifted: bool
    # other registers that do not read as zero: package, revision, clock
    registers: dict[int, int] = field(default_factory=dict)

    def power_on_registers(self, mac: bytes) -> dict[int, int]:
        """Return the registers of a chip with the MAC address `mac` (6 bytes) after power-on."""
        if self.name == "esp8266":
            words: tuple[int, ...] = (mac[5] << 24, mac[3] << 8 | mac[4], 0, int.from_bytes(mac[:3], "big"))
        else:
            words = struct.unpack(">HI", mac)[::-1]
        return {**self.registers, **{self.mac_register + 4 * index: word for index, word in enumerate(words)}}


CHIPS = {
    chip.name: chip
    for chip in (
        # ESP32-D0WD-V3, revision 3.0, 40 MHz
        Chip(
            "esp32",
            None,
            mac_register=0x3FF5A004,
            spi_base=0x3FF42000,
            spi_user2=0x24,
            spi_data=0x80,
            spi_address_shifted=True,
            registers={
                MAGIC_REGISTER: 0x00F01D83,
                0x3FF5A00C: 1 << 9 | 1 << 15,
                0x3FF5A010: 80,
                0x3FF5A014: 1 << 20,
                0x3FF6607C: 1 << 31,
                0x3FF40014: 40_000_000 // 115_200,
                0x3FF5F06C: 1280 << 7,
            },
        ),
        # revisions 0.2, 0.4 and 0.1
        Chip("esp32s3", 9, 0x60007044, 0x60002000, 0x20, 0x58, False, {0x60007050: 2 << 18}),
        Chip("esp32c3", 5, 0x60008844, 0x60002000, 0x20, 0x58, False, {0x60008850: 4 << 18}),
        Chip("esp32c6", 13, 0x600B0844, 0x60003000, 0x20, 0x58, False, {0x600B0850: 1 << 18}),
        # 26 MHz; nothing here runs its programs, so it never boots
        Chip(
            "esp8266",
            None,
            mac_register=0x3FF00050,
            spi_base=0x60000200,
            spi_user2=0x24,
            spi_data=0x40,
            spi_address_shifted=True,
            registers={MAGIC_REGISTER: 0xFFF0C101, 0x60000014: 2 * 26_000_000 // 115_200},
        ),
    )
}
