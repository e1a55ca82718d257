import hashlib
import struct
import zlib

import pytest

from virtual.esp32 import slip
from virtual.esp32.chips import CHIPS
from virtual.esp32.faults import Faults
from virtual.esp32.nor import FlashRangeError, NorFlash
from virtual.esp32.rom import Command, Rom

MAC = bytes.fromhex("240ac4000001")
SIZE = 0x400000


@pytest.fixture
def flash(tmp_path):
    flash = NorFlash(tmp_path / "flash.bin", SIZE)
    yield flash
    flash.close()


@pytest.fixture
def rom(flash):
    return Rom(CHIPS["esp32"], MAC, flash)


@pytest.fixture
def stub(flash):
    rom = Rom(CHIPS["esp32"], MAC, flash)
    assert send(rom, Command.MEM_END, struct.pack("<II", 0, 0x40080000))[-1] == b"OHAI"
    return rom


def request(command, data=b"", checksum=0):
    return struct.pack("<BBHI", 0, command, len(data), checksum) + data


def send(rom, command, data=b"", checksum=0):
    return rom.handle(request(command, data, checksum))


def block(data, number=0):
    checksum = 0xEF
    for byte in data:
        checksum ^= byte
    return struct.pack("<IIII", len(data), number, 0, 0) + data, checksum


def status(answers):
    """Return the two status bytes of the one answer."""
    (answer,) = answers
    return answer[8:][:2] if len(answer) <= 12 else answer[-4:-2]


def begin(command, size, offset):
    return command, struct.pack("<IIII", size, 1, 0x4000, offset)


def test_packets_come_through_the_line_whatever_bytes_they_hold():
    packets = [bytes(range(256)), b"\xc0\xdb\xdc\xdd\xdb\xdb\xc0", b"x"]
    line = b"".join(map(slip.encode, packets))
    decoder = slip.Decoder()
    assert [packet for byte in line for packet in decoder.feed(bytes([byte]))] == packets
    assert slip.Decoder().feed(line) == packets


def test_programming_only_clears_bits_until_the_sector_is_erased(flash):
    flash.program(0x1000, b"\xf0\x0f")
    flash.program(0x1000, b"\x3c\xff")
    assert flash.read(0x1000, 3) == b"\x30\x0f\xff"
    flash.erase(0x1001, 1)
    assert flash.read(0x1000, 3) == b"\xff\xff\xff"


def test_what_lies_outside_the_flash_cannot_be_touched(flash):
    for touch in (lambda: flash.read(SIZE - 1, 2), lambda: flash.erase(SIZE, 1), lambda: flash.program(SIZE, b"x")):
        with pytest.raises(FlashRangeError):
            touch()


def test_one_flash_belongs_to_one_board(tmp_path, flash):
    with pytest.raises(BlockingIOError):
        NorFlash(tmp_path / "flash.bin", SIZE)


def test_the_rom_refuses_what_only_the_stub_can(rom, stub):
    region = struct.pack("<II", 0, 0x1000)
    assert status(send(rom, Command.ERASE_REGION, region)) == b"\x01\x05"
    assert status(send(stub, Command.ERASE_REGION, region)) == b"\x00\x00"


def test_a_write_outside_the_flash_fails(rom, stub):
    assert status(send(rom, *begin(Command.FLASH_BEGIN, 0x1000, SIZE))) == b"\x01\x06"
    send(stub, *begin(Command.FLASH_BEGIN, 0x1000, SIZE))
    assert status(send(stub, Command.FLASH_DATA, *block(b"x" * 16))) == b"\x01\xc4"


def test_a_block_with_a_wrong_checksum_is_not_written(stub, flash):
    send(stub, *begin(Command.FLASH_BEGIN, 16, 0))
    data, checksum = block(b"x" * 16)
    assert status(send(stub, Command.FLASH_DATA, data, checksum ^ 1)) == b"\x01\xc1"
    assert flash.read(0, 16) == b"\xff" * 16
    assert status(send(stub, Command.FLASH_DATA, data, checksum)) == b"\x00\x00"
    assert flash.read(0, 16) == b"x" * 16


def test_a_write_erases_its_own_sectors_and_pads_nothing_beyond_its_size(stub, flash):
    flash.program(0x0FF0, bytes(0x2010))
    send(stub, *begin(Command.FLASH_BEGIN, 4, 0x1000))
    send(stub, Command.FLASH_DATA, *block(b"data" + b"\x00" * 100))
    assert flash.read(0x1000, 6) == b"data\xff\xff"
    assert flash.read(0x0FF0, 16) == bytes(16)
    assert flash.read(0x2000, 16) == bytes(16)


def test_compressed_data_arrives_as_it_was(stub, flash):
    content = b"micropython" * 1000
    packed = zlib.compress(content)
    send(stub, *begin(Command.FLASH_DEFL_BEGIN, len(content), 0x10000))
    for start in range(0, len(packed), 40):
        assert status(send(stub, Command.FLASH_DEFL_DATA, *block(packed[start : start + 40]))) == b"\x00\x00"
    assert flash.read(0x10000, len(content)) == content


def test_data_that_is_not_compressed_is_refused(stub):
    send(stub, *begin(Command.FLASH_DEFL_BEGIN, 100, 0))
    assert status(send(stub, Command.FLASH_DEFL_DATA, *block(b"no deflate"))) == b"\x01\xc7"


def test_data_without_a_begin_is_refused(stub):
    assert status(send(stub, Command.FLASH_DATA, *block(b"x"))) == b"\x01\xc6"


def test_md5_is_text_from_the_rom_and_bytes_from_the_stub(rom, stub):
    digest = hashlib.md5(b"\xff" * 100, usedforsecurity=False)
    place = struct.pack("<IIII", 0, 100, 0, 0)
    assert send(rom, Command.SPI_FLASH_MD5, place)[0][8:] == digest.hexdigest().encode() + bytes(4)
    assert send(stub, Command.SPI_FLASH_MD5, place)[0][8:] == digest.digest() + bytes(2)


def test_a_read_sends_the_next_block_when_the_last_one_was_taken(stub, flash):
    flash.program(0, bytes(range(40)))
    answers = send(stub, Command.READ_FLASH, struct.pack("<IIII", 0, 40, 32, 64))
    assert answers[1] == bytes(range(32))
    assert stub.handle(struct.pack("<I", 32)) == [bytes(range(32, 40))]
    assert stub.handle(struct.pack("<I", 40)) == [hashlib.md5(bytes(range(40)), usedforsecurity=False).digest()]
    assert status(send(stub, Command.SPI_ATTACH, bytes(8))) == b"\x00\x00"


def test_noise_on_the_line_is_not_answered(rom):
    assert rom.handle(b"") == rom.handle(b"\x00\x08") == rom.handle(b"\x07" * 20) == []


@pytest.mark.parametrize("command", [0x00, 0x7F, 0xFF])
def test_an_unknown_command_is_refused(rom, command):
    assert status(send(rom, command)) == b"\x01\x05"


def test_faults_are_named_in_one_word_each():
    assert Faults.parse("") == Faults()
    assert Faults.parse("drop=3,rot=1,silent") == Faults(silent=True, drop=3, rot=1)
    for text in ("drop", "rot=x", "silent=1", "fire"):
        with pytest.raises(ValueError, match="is no fault"):
            Faults.parse(text)


def test_bit_rot_spoils_one_bit_of_so_many_blocks():
    faults = Faults(rot=1)
    assert faults.spoil(b"\x00\x00") == b"\x01\x00"
    assert faults.spoil(b"\x00\x00") == b"\x00\x00"
