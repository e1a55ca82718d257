"""Tables fit the terminal, and what a program reads does not depend on it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from fleetmint.cli.output import table_text

SERIAL = "563f979d487b46e5ebf82e06954d9f3e44c9079c"
COLUMNS = ["device", "MAC", "status", "serial of its certificate", "expires", "last reading"]
FLEET = [
    [f"lamp-{number:06d}", "24:0a:c4:00:00:03", "active", SERIAL, "2027-11-22", "temperature 36, uptime 15, n 4"]
    for number in range(3)
]
BATCHES = ["batch", "product", "devices"]
MANY = [["spring", "Lamp of the second kind, with a shade", "812 burned, 3 quarantined, 185 planned; registered"]]
PROGRAM = "from fleetmint.cli.output import table; import json, sys; table(*json.loads(sys.argv[1]))"


def words(text: str) -> set[str]:
    return set(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize(("columns", "rows"), [(COLUMNS, FLEET), (BATCHES, MANY)])
def test_a_table_is_no_wider_than_the_terminal_and_loses_nothing(columns, rows, width):
    text = table_text(columns, rows, width)
    longest = max(len(word) for row in rows for cell in row for word in cell.split())
    assert max(map(len, text.splitlines())) <= max(width, len("  serial of its certificate  ") + longest)
    assert {word for row in rows for cell in row for word in cell.split()} <= words(text)


def test_a_table_that_fits_is_as_wide_as_it_is():
    assert table_text(["name", "ends"], [["alice@workshop", "2027-01-01"], ["bob", ""]], 140) == (
        "name            ends\nalice@workshop  2027-01-01\nbob             -"
    )


def test_wide_cells_are_wrapped_between_words():
    lines = table_text(BATCHES, MANY, 60).splitlines()
    assert lines[0].split() == BATCHES
    assert 2 <= len(lines) <= 4
    assert max(map(len, lines)) <= 60


def test_a_table_too_narrow_for_its_words_becomes_blocks():
    assert table_text(COLUMNS, FLEET[:1], 80).splitlines() == [
        "lamp-000000",
        "  MAC                        24:0a:c4:00:00:03",
        "  status                     active",
        f"  serial of its certificate  {SERIAL}",
        "  expires                    2027-11-22",
        "  last reading               temperature 36, uptime 15, n 4",
    ]


def test_wide_characters_take_two_cells():
    lines = table_text(["product", "n"], [["ランプ", "1"], ["Лампа", "2"]], None).splitlines()
    assert lines == ["product  n", "ランプ   1", "Лампа    2"]


def test_indentation_of_a_tree_stays():
    assert table_text(["CA", "key"], [["root", "P-384"], ["  server", "P-256"]], 80).splitlines()[2] == (
        "  server  P-256"
    )


def test_a_tree_that_is_wrapped_stays_a_tree():
    rows = [["root", "P-384"], ["  device CA of the gateway", "P-256"], ["    leaf", "P-256"]]
    assert table_text(["CA", "key"], rows, 22).splitlines()[2:] == [
        "  device CA of   P-256",
        "  the gateway",
        "    leaf         P-256",
    ]


def test_what_is_long_in_a_block_is_wrapped_beside_its_column():
    reading = "temperature 36, uptime 15, n 4, and a sentence that goes on"
    text = table_text(COLUMNS, [[*FLEET[0][:5], f"{reading}, ランプ ランプ ランプ"]], 71)
    assert text.splitlines()[-3:] == [
        "  last reading               temperature 36, uptime 15, n 4, and a",
        "                             sentence that goes on, ランプ ランプ",
        "                             ランプ",
    ]


def shown(width: int) -> str:
    """Return what a terminal of this width gets."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([COLUMNS, FLEET])], stdin=slave, stdout=slave, env=environment
    ) as process:
        os.close(slave)
        found = b""
        while True:
            try:
                found += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
    os.close(master)
    return found.decode().replace("\r\n", "\n")


def test_a_real_terminal_of_80_columns_gets_no_longer_line():
    narrow, wide = shown(80), shown(200)
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.count(SERIAL) == 3
    assert len(wide.splitlines()) == 4


@pytest.mark.parametrize("columns", ["20", "80", "400"])
def test_a_program_gets_one_line_for_each_row_whatever_the_terminal(columns):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([COLUMNS, FLEET])],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": columns},
    )  # fmt: skip
    rows = [re.split(" {2,}", line) for line in result.stdout.splitlines()]
    assert rows == [COLUMNS, *FLEET]
