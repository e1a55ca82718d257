"""What a flash starts, judged by esptool's own reader of images."""

import struct
import zlib

import pytest
from esptool.bin_image import LoadFirmwareImage

from fleetmint.errors import ImageError
from fleetmint.flash.image import read_image, started
from fleetmint.flash.job import CHIPS
from fleetmint.flash.table import PartitionTable, stock
from virtual.esp32.firmware import image

GOOD = image("esp32", "micropython")


def read(content):
    data = bytes(content).ljust(0x20000, b"\xff")
    return read_image(lambda offset, size: data[offset : offset + size], 0, 0x10000)


@pytest.mark.parametrize("chip", CHIPS)
def test_an_image_that_esptool_takes_is_read_with_what_it_says_it_is(chip, tmp_path):
    content = image(chip, "micropython")
    (tmp_path / "image.bin").write_bytes(content)
    judge = LoadFirmwareImage(chip, str(tmp_path / "image.bin"))
    assert judge.checksum == judge.calculate_checksum()
    assert judge.stored_digest == judge.calc_digest
    found = read(content)
    assert (found.chip_id, found.size) == (CHIPS[chip].image_id, len(content))
    assert (found.project, found.version) == ("micropython", "v1.26.1")


def test_a_bootloader_says_nothing_about_itself_and_is_one():
    assert read(image("esp32")).project == ""


def spoiled(position, value):
    content = bytearray(GOOD)
    content[position] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is blank"),
        (bytes(4096), "holds no ESP32 image"),
        (spoiled(0, 0xE8), "holds no ESP32 image"),
        (spoiled(1, 0), "holds no ESP32 image"),
        (spoiled(1, 200), "holds no ESP32 image"),
        (spoiled(30, 0xFF), "cut off or damaged"),
        (spoiled(1, 2), "its SHA-256 is wrong"),
        (spoiled(2000, GOOD[2000] ^ 1), "its checksum is wrong"),
        (spoiled(3, 0x21), "its SHA-256 is wrong"),
        (GOOD[:4100], "whose end is blank"),
    ],
)
def test_what_would_not_start_is_told(content, message):
    with pytest.raises(ImageError, match=message):
        read(content)


def test_a_large_image_is_not_read_as_a_whole_and_a_cut_one_is_found():
    content, asked = image("esp32", "micropython", size=0x80000), []

    def reader(offset, size):
        asked.append(size)
        return content[offset : offset + size].ljust(size, b"\xff")

    assert read_image(reader, 0, 0x1F0000).size == len(content)
    assert sum(asked) < 1000
    content = content[:0x40000]
    with pytest.raises(ImageError, match="whose end is blank"):
        read_image(reader, 0, 0x1F0000)


def entry(sequence):
    number = struct.pack("<I", sequence)
    return number + b"\xff" * 24 + struct.pack("<I", zlib.crc32(number, 0xFFFFFFFF))


@pytest.mark.parametrize(
    ("sequences", "name"), [((), "ota_0"), ((1,), "ota_0"), ((2,), "ota_1"), ((2, 3), "ota_0"), ((4, 3), "ota_1")]
)
def test_the_program_that_starts_is_the_one_of_otadata(sequences, name):
    table = stock("4MiB-ota")
    flash = bytearray(b"\xff" * 0x20000)
    for number, sequence in enumerate(sequences):
        place = table.find("otadata").offset + 0x1000 * number
        flash[place : place + 32] = entry(sequence)
    assert started(lambda offset, size: bytes(flash[offset : offset + size]), table).name == name


def test_without_otadata_the_factory_program_starts():
    assert started(lambda offset, size: b"", stock("4MiB")).name == "factory"
    with pytest.raises(ImageError, match="no partition for a program"):
        started(lambda offset, size: b"", PartitionTable((stock("4MiB").find("nvs"),)))
