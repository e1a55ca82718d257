"""A board has to have firmware that starts before it gets an identity."""

from dataclasses import replace

import pytest

from fleetmint.bench.bench import burn_ports, left
from fleetmint.errors import ImageError
from virtual.esp32.firmware import delivered, firmware, image
from virtual.esp32.rack import Blank, Slot

SIZE, APP = 0x400000, 0x10000


@pytest.fixture
def put(tmp_path):
    slot = Slot(tmp_path / "port")

    def board(content):
        (tmp_path / "flash").write_bytes(content)
        slot.put(Blank("24:0a:c4:00:00:01", tmp_path / "flash", micropython=False))
        return str(slot.port), tmp_path / "flash"

    yield board
    slot.take()


def with_parts(**parts):
    flash = bytearray(delivered("esp32", SIZE))
    for name, content in parts.items():
        location = int(name.removeprefix("at_"), 16)
        flash[location : location + len(content)] = content
    return bytes(flash)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff" * SIZE, "has no firmware that starts: its bootloader's place at 0x1000 is blank"),
        (with_parts(at_10000=b"\xff" * 0x2000), "the partition 'factory' at 0x10000 is blank"),
        (with_parts(at_1000=b"\xff" * 0x2000), "bootloader's place at 0x1000 is blank"),
        (with_parts(at_10000=bytes(0x2000)), "holds no ESP32 image"),
        (with_parts(at_10400=b"\0" * 8), "its checksum is wrong"),
        (with_parts(at_10000=b"\xff" * 0x2000 + image("esp32c3", "micropython")), "is blank"),
        (with_parts(at_10000=image("esp32c3", "micropython")), "has firmware for another chip (chip_id 5)"),
        (with_parts(at_10000=image("esp32", "arduino-lib-builder")), "has other firmware than MicroPython, 'arduino"),
        (with_parts(at_10000=image("esp32")), "a program that does not say what it is"),
    ],
)
def test_a_board_that_would_not_run_the_program_is_refused_untouched(bench, put, content, message):
    port, flash = put(content)
    (outcome,) = burn_ports(bench, [port])
    assert (outcome.state, outcome.code, outcome.device) == ("failed", "no-firmware", None)
    assert message in outcome.reason
    assert "--firmware FILE" in outcome.reason
    assert flash.read_bytes() == content
    assert left(bench) == 3


def test_other_firmware_is_burned_when_it_is_asked_for(bench, put):
    port, _ = put(with_parts(at_10000=image("esp32", "lamp")))
    assert burn_ports(replace(bench, other_firmware=True), [port])[0].state == "burned"


def test_a_blank_board_is_burned_with_firmware(bench, put, tmp_path):
    file = tmp_path / "firmware.bin"
    file.write_bytes(firmware("esp32"))
    port, flash = put(b"\xff" * SIZE)
    (outcome,) = burn_ports(replace(bench, firmware=file), [port])
    assert outcome.state == "burned", outcome.reason
    assert flash.read_bytes()[APP : APP + 4096] == delivered("esp32", SIZE)[APP : APP + 4096]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (firmware("esp32")[:-40], "whose end is blank|damaged|cut off"),
        (firmware("esp32", "arduino-lib-builder"), "other firmware than MicroPython"),
        (firmware("esp32")[:0xF400] + b"?" + firmware("esp32")[0xF401:], "its checksum is wrong"),
    ],
)
def test_a_firmware_file_that_would_not_start_is_refused_before_a_board_is_touched(bench, tmp_path, content, message):
    file = tmp_path / "firmware.bin"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        burn_ports(replace(bench, firmware=file), ["/dev/null"])
