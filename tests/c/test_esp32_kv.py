"""The store of an ESP32: ESP-IDF's NVS over what the factory burned, plain and encrypted, whenever the power goes."""

import os
import random
import subprocess
import sys

import pytest

from fleetmint.flash.table import stock
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from tests.support.c_esp32 import POWER_CUT, Esp32, kv_tool, require_mbedtls

ENCRYPTIONS = ["none", "flash", "hmac"]
# Across a page, none at all, small; and a neighbour whose values are nobody's business.
BURNED = {
    "other": {"x": 1},
    "fleetmint": {"device_id": b"pump-0001", "big": bytes(range(256)) * 18, "empty": b"", "https_port": 443, "n": -5},
}


@pytest.fixture(scope="session")
def tool(build):
    require_mbedtls()
    return kv_tool(build)


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_what_the_factory_burned_the_board_reads(tool, tmp_path, encryption):
    board = Esp32.burned(tmp_path, BURNED, encryption)
    before = board.image
    board.run(tool, ["get device_id", "get big", "get empty", "geti https_port", "geti n", "get none", "geti none"])
    assert board.answers == [
        "9 " + b"pump-0001".hex(), "4608 " + bytes(range(256)).hex() * 18, "0 ", "0 443", "0 -5", "-1 ", "-1 0"
    ]  # fmt: skip
    assert board.image == before


def test_a_value_that_does_not_fit_is_not_read(tool, tmp_path):
    board = Esp32.burned(tmp_path, BURNED)
    board.run(tool, ["get device_id 8", "get device_id 0", "get device_id 9"])
    assert board.answers == ["-2 ", "-2 ", "9 " + b"pump-0001".hex()]


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_what_the_board_writes_the_station_reads(tool, tmp_path, encryption):
    """Also when the pages have been round several times; a model in Python knows what has to be there."""
    board = Esp32.burned(tmp_path, BURNED, encryption)
    expected = dict(BURNED["fleetmint"])
    lines = []
    dice = random.Random(7)  # noqa: S311
    for _ in range(250):
        name = dice.choice(["a", "b", "device_id", "big"])
        if dice.random() < 0.2:
            lines.append(f"erase {name}")
            expected.pop(name, None)
        elif dice.random() < 0.3:
            expected["n"] = dice.randrange(-(1 << 31), 1 << 31)
            lines.append(f"puti n {expected['n']}")
        else:
            expected[name] = dice.randbytes(dice.choice([0, 1, 31, 32, 33, 900, 4100]))
            lines.append(f"put {name} {expected[name].hex()}")
    assert board.run(tool, lines) == 0
    assert set(board.answers) == {"0"}
    assert board.nvs() == expected
    assert decode(board.image, keys=board.keys)["other"] == {"x": 1}


def test_what_the_board_writes_encrypted_espressif_s_tool_decrypts(tool, tmp_path):
    board = Esp32.burned(tmp_path, BURNED, "flash")
    board.run(tool, ["put device_id 6e6577", "puti n 7"])
    (tmp_path / "keys.bin").write_bytes(board.keys.to_partition())
    (tmp_path / "nvs.bin").write_bytes(board.image)
    subprocess.run(
        [sys.executable, "-m", "esp_idf_nvs_partition_gen", "decrypt", "nvs.bin", "keys.bin", "plain.bin"],
        cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    found = decode((tmp_path / "plain.bin").read_bytes())["fleetmint"]
    assert found == {**BURNED["fleetmint"], "device_id": b"new", "n": 7}


def test_the_board_writes_what_the_station_would_have_written(tool, tmp_path):
    board = Esp32.burned(tmp_path, {})
    big, small = bytes(4000), b"y" * 3000
    board.run(tool, ["puti n 7", f"put a {b'x'.hex() * 100}", f"put b {big.hex()}", f"put c {small.hex()}"])
    values = {"fleetmint": {"n": 7, "a": b"x" * 100, "b": big, "c": small}}
    assert board.image == encode(values, stock("4MiB").find("nvs").size)


def test_the_same_value_again_is_no_write(tool, tmp_path):
    board = Esp32.burned(tmp_path, BURNED)
    board.run(tool, ["puti n -5", f"put device_id {b'pump-0001'.hex()}"])
    assert (board.answers, board.writes) == (["0", "0"], 0)


def test_a_store_that_is_full_says_so_and_keeps_what_it_has(tool, tmp_path):
    board = Esp32.burned(tmp_path, BURNED)
    board.run(tool, [f"put a {bytes(9000).hex()}", f"put b {bytes(9000).hex()}", "get device_id"])
    assert board.answers == ["0", "-2", "9 " + b"pump-0001".hex()]
    assert board.nvs() == {**BURNED["fleetmint"], "a": bytes(9000)}


def test_an_nvs_that_cannot_be_opened_is_left_as_it_is(tool, tmp_path):
    """Examples of ESP-IDF erase it then; here it holds who the device is."""
    board = Esp32.burned(tmp_path, BURNED)
    nvs = stock("4MiB").find("nvs")
    larger = encode({"fleetmint": {f"value{i}": bytes(3960) for i in range(7)}}, 2 * nvs.size)
    flash = board.flash.read_bytes()
    flash = flash[: nvs.offset] + larger[: nvs.size] + flash[nvs.end :]
    board.flash.write_bytes(flash)
    assert board.run(tool, ["get device_id"]) == 1
    assert board.answers == ["not open: 0x110d"]
    assert board.flash.read_bytes() == flash


@pytest.mark.parametrize("encryption", ["none", "hmac"])
def test_a_value_is_the_old_one_or_the_new_one_at_whichever_write_the_power_goes(tool, tmp_path, encryption):
    """The writes go round all pages, so that moving a page is among them."""
    filled = {"fleetmint": {**BURNED["fleetmint"], "fill": bytes(range(250)) * 28}}
    steps = [
        ("key1", b"k" * 121),
        ("cert1", b"c" * 700),
        ("n", 9),
        ("big", b"B" * 4200),
        ("cert1", b"d" * 710),
        ("key1", None),
        ("big", b"C" * 4100),
    ]
    lines = [
        f"erase {key}" if value is None else f"puti {key} {value}" if isinstance(value, int) else
        f"put {key} {value.hex()}"
        for key, value in steps
    ]  # fmt: skip
    states = [dict(filled["fleetmint"])]
    for key, value in steps:
        states.append({**states[-1], key: value})
        if value is None:
            del states[-1][key]
    board = Esp32.burned(tmp_path, filled, encryption)
    begin = board.flash.read_bytes()
    assert board.run(tool, lines) == 0
    # six pages, of which one stays free: for the last of them another one had to be moved
    assert board.newest_page == 5
    writes = board.writes
    seen = set()
    for cut_at in range(1, writes + 1, 1 if encryption == "none" else 6):
        board.flash.write_bytes(begin)
        assert board.run(tool, lines, cut_at) == POWER_CUT
        done = len(board.answers)
        # what it finds when it starts again
        assert board.run(tool, ["get device_id"]) == 0
        found = board.nvs(skip_damaged=True)
        assert found in (states[done], states[done + 1]), f"at write {cut_at}, during {lines[done][:20]}"
        seen.add((done, found == states[done]))
        # and it goes on from there
        assert board.run(tool, lines[done:]) == 0
        assert set(board.answers) == {"0"}
        assert board.nvs() == states[-1]
    # before and behind the moment at which each of them counts
    assert len(seen) > len(steps)
