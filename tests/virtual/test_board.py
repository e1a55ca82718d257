import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import serial

from fleetmint.flash.app import make_image
from fleetmint.flash.table import TABLE_OFFSET, stock
from fleetmint.nvs.encode import encode
from virtual.esp32.__main__ import BOOT_SCRIPT

TABLE = stock("4MiB")
TELLS_ITS_PID = ["sh", "-c", "echo booted $$; exec sleep 600"]


def esptool(board, *arguments):
    """Run the real esptool against `board` and return what it printed."""
    command = [sys.executable, "-m", "esptool", "--port", board.port, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("chip", ["esp32", "esp32s3", "esp32c3", "esp32c6"])
def test_esptool_recognises_the_chip_its_mac_and_its_flash(start_board, chip):
    board = start_board(chip=chip, mac="24:0a:c4:12:34:56", options=["--flash-size", "8MB"])
    printed = esptool(board, "flash-id")
    assert f"Connected to {chip.upper().replace('ESP32', 'ESP32-').rstrip('-')} on" in printed
    assert "24:0a:c4:12:34:56" in printed
    assert "Stub flasher running" in printed
    assert "Detected flash size: 8MB" in printed


@pytest.mark.parametrize("flags", [[], ["--no-stub"]], ids=["stub", "rom"])
def test_esptool_writes_verifies_reads_and_erases(start_board, tmp_path, flags):
    board = start_board()
    content = os.urandom(5000) + bytes(3000)
    file, back = tmp_path / "content", tmp_path / "back"
    file.write_bytes(content)
    board.write(0x10000, bytes(0x3000))
    assert "Hash of data verified" in esptool(board, *flags, "--baud", 460800, "write-flash", "0x10000", file)
    assert board.flash(0x10000, 0x3000) == content.ljust(0x2000, b"\xff") + bytes(0x1000)
    assert "Verification successful" in esptool(board, *flags, "verify-flash", "0x10000", file)
    esptool(board, *flags, "read-flash", "0x10000", "0x800", back)
    assert back.read_bytes() == content[:0x800]
    if not flags:
        esptool(board, "erase-region", "0x11000", "0x1000")
        assert board.flash(0x10000, 0x3000) == content[:0x1000] + b"\xff" * 0x1000 + bytes(0x1000)


def test_esptool_notices_a_flash_that_differs(start_board, tmp_path):
    board = start_board()
    (tmp_path / "file").write_bytes(b"x" * 100)
    with pytest.raises(AssertionError, match="Verification failed"):
        esptool(board, "verify-flash", "0", tmp_path / "file")


def running(pid):
    """Whether the process is there and not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_board_boots_when_it_gets_power_and_the_rom_stops_it(start_board, until):
    board = start_board(program=TELLS_ITS_PID)
    assert "nothing to boot: no partition table" in board.console()
    board.write(TABLE_OFFSET, TABLE.to_bytes())
    esptool(board, "read-mac")
    pid = int(board.await_console("booted").split()[-1])
    assert running(pid)
    with serial.Serial(board.port) as line:
        line.write(b"a person types\n")
        assert running(pid)
        line.write(b"\xc0\x00\x08\x24\x00" + bytes(4) + b"\x07\x07\x12\x20" + b"\x55" * 32 + b"\xc0")
        until(lambda: not running(pid), lambda: "the program to end")
    board.await_console("booted", times=2)


def test_nothing_of_a_program_survives_its_board(start_board, until):
    board = start_board(program=TELLS_ITS_PID)
    board.write(TABLE_OFFSET, TABLE.to_bytes())
    esptool(board, "read-mac")
    pid = int(board.await_console("booted").split()[-1])
    board.process.kill()
    board.process.wait()
    until(lambda: not running(pid), lambda: "the program to end")


def test_a_program_that_ends_boots_again_with_longer_and_longer_pauses(start_board):
    board = start_board(program=["sh", "-c", "exit 3"])
    board.write(TABLE_OFFSET, TABLE.to_bytes())
    esptool(board, "read-mac")
    console = board.await_console("program ended (3)", times=3)
    assert [line.rpartition("in ")[2] for line in console.splitlines() if "ended" in line][:3] == [
        "0.2 s",
        "0.4 s",
        "0.8 s",
    ]


def test_the_files_of_a_board_are_its_owners_alone(start_board):
    board = start_board()
    for name in ("flash.bin", "console.log"):
        assert stat.S_IMODE((board.directory / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(board.directory.stat().st_mode) == 0o700


def test_a_board_that_ends_leaves_its_flash_and_nothing_else_to_hold(start_board):
    board = start_board()
    board.process.terminate()
    assert board.process.wait(timeout=10) == 0
    assert not (board.directory / "tty").is_symlink()
    assert not (board.directory / "pid").exists()
    assert (board.directory / "flash.bin").stat().st_size == 0x400000


def test_a_second_board_on_the_same_flash_is_refused(start_board):
    first = start_board()
    second = start_board()
    assert second.process.wait(timeout=10) == 1
    assert b"is running in" in second.process.stderr.read()
    assert esptool(first, "read-mac")


@pytest.mark.micropython
def test_micropython_boots_from_what_is_in_the_flash(start_board, tmp_path, micropython):
    program = b"""
import esp32, json, machine
nvs = esp32.NVS("fleetmint")
name = bytearray(20)
print(json.dumps(["here", nvs.get_i32("port"), name[:nvs.get_blob("name", name)].decode(), machine.unique_id().hex()]))
"""
    nvs, vfs = TABLE.find("nvs"), TABLE.find("vfs")
    flash = tmp_path / "board" / "flash.bin"
    board = start_board(program=[micropython, str(BOOT_SCRIPT), str(flash), "24:0a:c4:00:00:09"])
    board.write(nvs.offset, encode({"fleetmint": {"port": 8883, "name": b"lamp-000001"}}, nvs.size))
    board.write(vfs.offset, make_image({"main.py": program}, vfs.size))
    board.write(TABLE_OFFSET, TABLE.to_bytes())
    esptool(board, "read-mac")
    line = next(line for line in board.await_console("here").splitlines() if "here" in line)
    assert json.loads(line) == ["here", 8883, "lamp-000001", "240ac4000009"]
