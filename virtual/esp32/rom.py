"""The boot ROM and the flasher stub of an ESP32, as far as esptool talks to them. No input or output: packets in, out.

Source: "Serial Protocol" in esptool's documentation, and what esptool's loader.py sends and expects.

    request   00 | command u8 | size u16 | checksum u32 | data
    response  01 | command u8 | size u16 | value u32    | data | status u8, error u8 (the ROM adds two zeros)

The stub is not run: whatever is uploaded to RAM and started becomes the stub that this file also is.
"""

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

from virtual.esp32.chips import Chip
from virtual.esp32.efuses import Efuses, PowerCutError
from virtual.esp32.faults import Faults
from virtual.esp32.nor import SECTOR_SIZE, FlashRangeError, NorFlash
from virtual.esp32.spi import SpiController

STUB_GREETING = b"OHAI"
_CHECKSUM_SEED = 0xEF
# any value but 0 tells esptool that the ROM answered and not a stub that was left running
_ROM_SYNC_VALUE = 0x20120707
_SLOW_READ_SIZE = 64
# of the flags of GET_SECURITY_INFO
_SECURE_DOWNLOAD = 1 << 2


class Command(IntEnum):
    """The commands that are known here."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1
    READ_FLASH = 0xD2
    RUN_USER_CODE = 0xD3


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, not an error of this program
    """A command that fails; the code is the one of the ROM, the stub has its own."""

    def __init__(self, rom: int, stub: int) -> None:
        super().__init__(f"{rom:#x}")
        self.rom = rom
        self.stub = stub


BAD_LENGTH = Refusal(0x05, 0xC0)
BAD_CHECKSUM = Refusal(0x07, 0xC1)
BAD_COMMAND = Refusal(0x05, 0xFF)
FAILED_SPI = Refusal(0x06, 0xC4)
NOT_WRITING = Refusal(0x06, 0xC6)
BAD_DEFLATE = Refusal(0x0B, 0xC7)


class Rom:
    """One chip between two resets."""

    def __init__(
        self, chip: Chip, mac: bytes, flash: NorFlash, faults: Faults | None = None, efuses: Efuses | None = None
    ) -> None:
        self.chip = chip
        self.is_stub = False
        self.is_unplugged = False
        self.baud = 115200
        self._flash = flash
        self._faults = faults or Faults()
        self._spi = SpiController(chip, mac, flash)
        self._efuses = efuses
        # as they were at the reset: what is burned later counts from the next one on
        self._flags = efuses.flags() if efuses is not None else 0
        self._write: _FlashWrite | None = None
        self._frames: list[bytes] = []
        self._blocks = 0
        self._silent = self._faults.silent

    def handle(self, packet: bytes) -> list[bytes]:
        """Return the packets with which the chip answers `packet`."""
        if self._silent:
            return []
        if self._frames:
            # while flash is being read every packet from the host is an acknowledgement
            return self._next_frame()
        if len(packet) < 8 or packet[0] != 0:
            return []
        code, size, checksum = struct.unpack_from("<xBHI", packet)
        data = packet[8:]
        try:
            if size != len(data):
                raise BAD_LENGTH
            handler = _HANDLERS.get(code)
            if handler is None:
                raise BAD_COMMAND
            answers = handler(self, data, checksum)
        except Refusal as refusal:
            return [self._response(code, error=refusal.stub if self.is_stub else refusal.rom)]
        except (FlashRangeError, struct.error):
            return [self._response(code, error=FAILED_SPI.stub if self.is_stub else FAILED_SPI.rom)]
        return [] if self._silent else answers

    def _response(self, code: int, value: int = 0, data: bytes = b"", error: int = 0) -> bytes:
        status = bytes([1 if error else 0, error]) + (b"" if self.is_stub else b"\0\0")
        body = data + status
        return struct.pack("<BBHI", 1, code, len(body), value) + body

    def _sync(self, data: bytes, _checksum: int) -> list[bytes]:
        return [self._response(Command.SYNC, 0 if self.is_stub else _ROM_SYNC_VALUE)] * 8

    def _security_info(self, data: bytes, _checksum: int) -> list[bytes]:
        if self.chip.security_id is None:
            raise BAD_COMMAND
        info = struct.pack("<I8xII", self._flags, self.chip.security_id, 0)
        return [self._response(Command.GET_SECURITY_INFO, data=info)]

    def _read_register(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_open()
        (address,) = struct.unpack_from("<I", data)
        found = self._efuses.read(address) if self._efuses and address in self._efuses else self._spi.read(address)
        return [self._response(Command.READ_REG, found)]

    def _write_register(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_open()
        for address, value, mask, _delay in struct.iter_unpack("<IIII", data):
            if self._efuses is None or address not in self._efuses:
                self._spi.write(address, value, mask)
                continue
            try:
                self._efuses.write(address, value, mask)
            except PowerCutError:
                self.is_unplugged = True
                return []
        return [self._response(Command.WRITE_REG)]

    def _mem_data(self, data: bytes, checksum: int) -> list[bytes]:
        self._only_open()
        _block(data, checksum)
        return [self._response(Command.MEM_DATA)]

    def _mem_end(self, data: bytes, _checksum: int) -> list[bytes]:
        _, entry = struct.unpack_from("<II", data)
        answer = [self._response(Command.MEM_END)]
        if entry:
            self.is_stub = True
            answer.append(STUB_GREETING)
        return answer

    def _accept(self, command: Command) -> list[bytes]:
        return [self._response(command)]

    def _change_baud(self, data: bytes, _checksum: int) -> list[bytes]:
        (self.baud,) = struct.unpack_from("<I", data)
        return self._accept(Command.CHANGE_BAUDRATE)

    def _flash_begin(self, data: bytes, _checksum: int) -> list[bytes]:
        size, _blocks, _block_size, offset = struct.unpack_from("<IIII", data)
        self._write = _FlashWrite(self._flash, offset, size, None, erase_first=not self.is_stub)
        return self._accept(Command.FLASH_BEGIN)

    def _deflate_begin(self, data: bytes, _checksum: int) -> list[bytes]:
        size, _blocks, _block_size, offset = struct.unpack_from("<IIII", data)
        self._write = _FlashWrite(self._flash, offset, size, zlib.decompressobj(), erase_first=not self.is_stub)
        return self._accept(Command.FLASH_DEFL_BEGIN)

    def _flash_data(self, data: bytes, checksum: int) -> list[bytes]:
        return self._store(Command.FLASH_DATA, _block(data, checksum))

    def _deflate_data(self, data: bytes, checksum: int) -> list[bytes]:
        return self._store(Command.FLASH_DEFL_DATA, _block(data, checksum))

    def _store(self, command: Command, block: bytes) -> list[bytes]:
        if self._write is None:
            raise NOT_WRITING
        self._blocks += 1
        if self._faults.drop is not None and self._blocks > self._faults.drop:
            self._silent = True
            return []
        if self._faults.unplug is not None and self._blocks > self._faults.unplug:
            self.is_unplugged = True
            return []
        self._write.store(block, self._faults)
        return self._accept(command)

    def _flash_end(self, data: bytes, _checksum: int) -> list[bytes]:
        return self._end(Command.FLASH_END, data)

    def _deflate_end(self, data: bytes, _checksum: int) -> list[bytes]:
        return self._end(Command.FLASH_DEFL_END, data)

    def _end(self, command: Command, data: bytes) -> list[bytes]:
        self._write = None
        (stay,) = struct.unpack_from("<I", data)
        answer = self._accept(command)
        if not stay:
            self.is_stub = False
        return answer

    def _md5(self, data: bytes, _checksum: int) -> list[bytes]:
        offset, size = struct.unpack_from("<II", data)
        digest = self._flash.md5(offset, size)
        return [self._response(Command.SPI_FLASH_MD5, data=digest if self.is_stub else digest.hex().encode())]

    def _read_slow(self, data: bytes, _checksum: int) -> list[bytes]:
        offset, size = struct.unpack_from("<II", data)
        if size > _SLOW_READ_SIZE:
            raise BAD_LENGTH
        found = self._flash.read(offset, size).ljust(_SLOW_READ_SIZE, b"\0")
        return [self._response(Command.READ_FLASH_SLOW, data=found)]

    def _read_flash(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_stub()
        offset, size, block_size, _in_flight = struct.unpack_from("<IIII", data)
        content = self._flash.read(offset, size)
        frames = [content[start : start + block_size] for start in range(0, size, block_size)]
        self._frames = [*frames, self._flash.md5(offset, size)]
        return [*self._accept(Command.READ_FLASH), *self._next_frame()]

    def _next_frame(self) -> list[bytes]:
        # the last frame, the digest, is not acknowledged
        return [self._frames.pop(0)]

    def _erase_flash(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_stub()
        self._flash.erase(0, self._flash.size)
        return self._accept(Command.ERASE_FLASH)

    def _erase_region(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_stub()
        offset, size = struct.unpack_from("<II", data)
        self._flash.erase(offset, size)
        return self._accept(Command.ERASE_REGION)

    def _run_user_code(self, data: bytes, _checksum: int) -> list[bytes]:
        self._only_stub()
        return []

    def _only_open(self) -> None:
        """Refuse what the secure download mode does not know: registers, and memory that something could be run in."""
        if self._flags & _SECURE_DOWNLOAD:
            raise BAD_COMMAND

    def _only_stub(self) -> None:
        if not self.is_stub:
            raise BAD_COMMAND


class _FlashWrite:
    """A download into flash: the ROM erases everything first, the stub each sector when it gets there."""

    def __init__(
        self, flash: NorFlash, offset: int, size: int, inflate: "zlib._Decompress | None", *, erase_first: bool
    ) -> None:
        self._flash = flash
        self._position = offset
        self._end = offset + size
        self._erased_to = offset
        self._inflate = inflate
        if erase_first and size:
            self._erase_to(self._end)

    def store(self, block: bytes, faults: Faults) -> None:
        try:
            data = self._inflate.decompress(block) if self._inflate else block
        except zlib.error:
            raise BAD_DEFLATE from None
        # the last block is padded
        data = faults.spoil(data[: self._end - self._position])
        self._erase_to(self._position + len(data))
        self._flash.program(self._position, data)
        self._position += len(data)

    def _erase_to(self, end: int) -> None:
        if end > self._erased_to:
            self._flash.erase(self._erased_to, end - self._erased_to)
            self._erased_to = -(-end // SECTOR_SIZE) * SECTOR_SIZE


def _block(data: bytes, checksum: int) -> bytes:
    """Return the block of a data command: size u32 | number u32 | 8 zeros | block."""
    (size,) = struct.unpack_from("<I", data)
    block = data[16:]
    if size != len(block):
        raise BAD_LENGTH
    found = _CHECKSUM_SEED
    for byte in block:
        found ^= byte
    if found != checksum & 0xFF:
        raise BAD_CHECKSUM
    return block


_HANDLERS: dict[int, Callable[[Rom, bytes, int], list[bytes]]] = {
    Command.SYNC: Rom._sync,
    Command.GET_SECURITY_INFO: Rom._security_info,
    Command.READ_REG: Rom._read_register,
    Command.WRITE_REG: Rom._write_register,
    Command.MEM_BEGIN: lambda rom, _data, _checksum: rom._accept(Command.MEM_BEGIN),
    Command.MEM_DATA: Rom._mem_data,
    Command.MEM_END: Rom._mem_end,
    Command.SPI_ATTACH: lambda rom, _data, _checksum: rom._accept(Command.SPI_ATTACH),
    Command.SPI_SET_PARAMS: lambda rom, _data, _checksum: rom._accept(Command.SPI_SET_PARAMS),
    Command.CHANGE_BAUDRATE: Rom._change_baud,
    Command.FLASH_BEGIN: Rom._flash_begin,
    Command.FLASH_DATA: Rom._flash_data,
    Command.FLASH_END: Rom._flash_end,
    Command.FLASH_DEFL_BEGIN: Rom._deflate_begin,
    Command.FLASH_DEFL_DATA: Rom._deflate_data,
    Command.FLASH_DEFL_END: Rom._deflate_end,
    Command.SPI_FLASH_MD5: Rom._md5,
    Command.READ_FLASH_SLOW: Rom._read_slow,
    Command.READ_FLASH: Rom._read_flash,
    Command.ERASE_FLASH: Rom._erase_flash,
    Command.ERASE_REGION: Rom._erase_region,
    Command.RUN_USER_CODE: Rom._run_user_code,
}
