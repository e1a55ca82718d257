"""The NVS of the virtual board, judged by the station's decoder, and reading what Espressif's generator wrote."""

import base64
import csv
import os
import random
import subprocess
import sys

import pytest

from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from tests.support.firmware_boards import BOOT, Board

pytestmark = pytest.mark.micropython

SIZE = 0x6000
OFFSET = 0x1000
PRELUDE = f"""
import board_esp32
from flash import Flash
board_esp32.flash = Flash(path)
board_esp32.partition = ({OFFSET}, {SIZE})
nvs = board_esp32.NVS("fleetmint")
def blob(key):
    buffer = bytearray(8000)
    return bytes(buffer[:nvs.get_blob(key, buffer)]).hex()
def errno(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
"""


@pytest.fixture
def nvs(micropython, tmp_path):
    """Run a script on a flash file with this NVS; the value is the script's result and the NVS afterwards."""
    path = tmp_path / "flash.bin"

    def run(script, image=b"\xff" * SIZE):
        path.write_bytes(b"\x5a" * OFFSET + image + b"\xa5" * 0x1000)
        outcome = Board(micropython, (BOOT,)).run(PRELUDE + script, path=str(path), heap="2M")
        flash = path.read_bytes()
        assert (flash[:OFFSET], flash[OFFSET + SIZE :]) == (b"\x5a" * OFFSET, b"\xa5" * 0x1000)
        return outcome, flash[OFFSET : OFFSET + SIZE]

    return run


def test_what_the_station_writes_the_board_reads(nvs):
    data = random.Random(1).randbytes(4500)  # noqa: S311 - any bytes, across a page
    image = encode({"other": {"x": 1}, "fleetmint": {"n": -5, "blob": data, "empty": b""}}, SIZE)
    assert nvs("result([nvs.get_i32('n'), blob('blob'), blob('empty')])", image)[0] == [-5, data.hex(), ""]


def test_what_the_board_writes_the_station_reads(nvs):
    script = (
        "nvs.set_i32('n', -7)\nnvs.set_blob('big', bytes(range(256)) * 20)\nnvs.set_blob('none', b'')\nnvs.commit()"
    )
    _, image = nvs(script)
    assert decode(image) == {"fleetmint": {"n": -7, "big": bytes(range(256)) * 20, "none": b""}}


def test_the_board_writes_what_the_station_would_have_written(nvs):
    values = {"fleetmint": {"n": 7, "a": b"x" * 100, "b": bytes(4000), "c": b"y" * 3000}}
    script = """
nvs.set_i32('n', 7)
nvs.set_blob('a', b'x' * 100)
nvs.set_blob('b', bytes(4000))
nvs.set_blob('c', b'y' * 3000)
"""
    assert nvs(script)[1] == encode(values, SIZE)


def test_other_namespaces_and_types_are_kept(nvs, tmp_path):
    rows = [
        ("key", "type", "encoding", "value"),
        ("phy", "namespace", "", ""),
        ("u8", "data", "u8", "200"),
        ("i64", "data", "i64", "-9"),
        ("text", "data", "string", "kept"),
        ("fleetmint", "namespace", "", ""),
        ("number", "data", "i32", "-2147483648"),
        ("blob", "data", "base64", base64.b64encode(bytes(range(200)) * 30).decode()),
    ]
    table, image = tmp_path / "nvs.csv", tmp_path / "nvs.bin"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    subprocess.run(
        [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate", table, image, hex(SIZE)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    script = "nvs.set_i32('new', 1)\nresult([nvs.get_i32('number'), blob('blob')])"
    outcome, written = nvs(script, image.read_bytes())
    assert outcome == [-(1 << 31), (bytes(range(200)) * 30).hex()]
    assert decode(written) == {
        "phy": {"u8": 200, "i64": -9, "text": b"kept"},
        "fleetmint": {"number": -(1 << 31), "blob": bytes(range(200)) * 30, "new": 1},
    }


def test_a_value_is_replaced_and_erased(nvs):
    image = encode({"fleetmint": {"a": b"old", "b": 1}}, SIZE)
    _, written = nvs("nvs.set_blob('a', b'new')\nnvs.erase_key('b')", image)
    assert decode(written) == {"fleetmint": {"a": b"new"}}


def test_the_errors_are_those_of_the_chip(nvs):
    script = """
nvs.set_blob('a', b'12345')
result([
    errno(nvs.get_i32, 'none'), errno(nvs.get_blob, 'none', bytearray(9)), errno(nvs.erase_key, 'none'),
    errno(nvs.get_i32, 'a'), errno(nvs.get_blob, 'a', bytearray(4)), errno(nvs.set_i32, 'x' * 16, 1),
])
"""
    assert nvs(script)[0] == [-0x1102, -0x1102, -0x1102, -0x1102, -0x110C, -0x1109]


def test_a_full_partition_keeps_what_it_has(nvs):
    script = "nvs.set_blob('a', bytes(12000))\nresult(errno(nvs.set_blob, 'b', bytes(12000)))"
    outcome, written = nvs(script)
    assert outcome == -0x1105
    assert decode(written) == {"fleetmint": {"a": bytes(12000)}}


def test_a_damaged_value_does_not_exist(nvs):
    image = bytearray(encode({"fleetmint": {"a": b"secret value", "b": 5}}, SIZE))
    image[image.index(b"secret")] ^= 1
    assert nvs("result([errno(blob, 'a'), nvs.get_i32('b')])", bytes(image))[0] == [-0x1102, 5]


def test_programming_only_clears_bits_and_erasing_sets_whole_blocks(nvs):
    script = f"""
from flash import BlockDevice
device = BlockDevice(board_esp32.flash, {OFFSET}, {SIZE})
device.writeblocks(1, b"\\x0f", 5)
device.writeblocks(1, b"\\xf1", 5)
device.writeblocks(2, b"\\x00", 0)
device.ioctl(6, 2)
result([device.ioctl(4, 0), device.ioctl(5, 0)])
"""
    outcome, image = nvs(script)
    assert outcome == [SIZE // 4096, 4096]
    assert image == b"\xff" * 4101 + b"\x01" + b"\xff" * (SIZE - 4102)
