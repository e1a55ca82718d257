"""The store of an ESP8266: the LittleFS that the factory burned, read and written on, whenever the power goes."""

import pytest

from fleetmint.flash.esp8266 import LAYOUTS_8266
from tests.support.c_esp8266 import Esp8266, files_tool
from tests.support.c_lines import data

BURNED = {"device_id": b"pump-0001", "https_port": 443, "slot": 0, "clock_floor": 848_707_200, "big": b"x" * 3000}


@pytest.fixture(scope="session")
def tool(build):
    return files_tool(build)


@pytest.fixture
def board(tmp_path):
    return Esp8266.burned(tmp_path / "flash", BURNED)


@pytest.mark.parametrize("layout", LAYOUTS_8266)
def test_what_the_factory_burned_the_board_reads(tool, tmp_path, layout):
    board = Esp8266.burned(tmp_path / "flash", BURNED, layout)
    questions = [("get", "device_id", 20), ("geti", "https_port"), ("geti", "clock_floor"), ("get", "big", 4096)]
    device, port, floor, big, writes = board.tell(tool, questions)
    assert (data(device[1]), port, floor) == (b"pump-0001", ["0", "443"], ["0", "848707200"])
    assert (data(big[1]), writes) == (b"x" * 3000, ["0"])


def test_what_is_not_there_or_no_number_or_too_long_is_said(tool, board):
    questions = [
        ("get", "token", 64),
        ("geti", "token"),
        ("geti", "device_id"),
        ("get", "big", 2999),
        ("erase", "token"),
    ]
    answers = board.tell(tool, questions)
    assert [answer[0] for answer in answers[:-1]] == ["ABSENT", "ABSENT", "BAD", "TOO_LONG", "0"]


def test_what_the_board_writes_littlefs_reads_elsewhere(tool, board):
    questions = [("put", "cert0", b"\x00\xff" * 400), ("puti", "slot", 3), ("erase", "big"), ("put", "device_id", b"a")]
    assert [answer[0] for answer in board.tell(tool, questions)[:-1]] == ["0"] * 4
    assert board.values().items() >= {"cert0": b"\x00\xff" * 400, "slot": b"3", "device_id": b"a"}.items()
    assert "big" not in board.values()
    # and the core of a board, whose littlefs is older, mounts it still
    assert int.from_bytes(board.flash.read_bytes()[20:24], "little") == 0x00020000


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("size", [1, 700, 3000])
def test_whenever_the_power_goes_a_value_is_the_old_or_the_new_one(tool, board, size, torn):
    before = board.flash.read_bytes()
    change = [("put", "big", b"y" * size), ("puti", "slot", 1)]
    *_, writes = board.tell(tool, change, dies_at=100_000)
    seen = []
    for cut in range(1, int(writes[0]) + 1):
        board.flash.write_bytes(before)
        assert board.tell(tool, change, dies_at=cut, torn=torn) is None
        big, slot, _ = board.tell(tool, [("get", "big", 4096), ("geti", "slot")])
        seen.append((data(big[1]), slot[1]))
    old, new = b"x" * 3000, b"y" * size
    assert set(seen) <= {(old, "0"), (new, "0"), (new, "1")}
    # one after the other, and never back
    assert seen == sorted(seen, key=[(old, "0"), (new, "0"), (new, "1")].index)
    assert torn or seen[0] == (old, "0")
    assert (new, "0") in seen


@pytest.mark.parametrize("torn", [False, True])
def test_whenever_the_power_goes_a_new_value_is_whole_or_not_there(tool, board, torn):
    before = board.flash.read_bytes()
    change = [("put", "cert0", b"y" * 700)]
    *_, writes = board.tell(tool, change, dies_at=100_000)
    seen = set()
    for cut in range(1, int(writes[0]) + 1):
        board.flash.write_bytes(before)
        assert board.tell(tool, change, dies_at=cut, torn=torn) is None
        (found, content), _ = board.tell(tool, [("get", "cert0", 4096)])
        seen.add((found, data(content)))
    assert ("ABSENT", b"") in seen <= {("ABSENT", b""), ("700", b"y" * 700)}
