"""A virtual ESP32 as a process: python -m virtual.esp32 --dir DIRECTORY --mac 24:0a:c4:00:00:01."""

import argparse
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from virtual.esp32 import firmware, micropython
from virtual.esp32.board import Board, UnpluggedError, flash_file
from virtual.esp32.chips import CHIPS
from virtual.esp32.efuses import Efuses
from virtual.esp32.faults import Faults
from virtual.esp32.nor import FlashRangeError, NorFlash
from virtual.esp32.port import Port
from virtual.esp32.program import Program

BOOT_SCRIPT = Path(__file__).resolve().parent.parent / "boot" / "boot.py"
_FLASH_SIZES = {f"{1 << exponent}MB": 1 << (20 + exponent) for exponent in range(1, 5)}


def main(arguments: list[str] | None = None) -> int:
    """Run one board until SIGTERM; return the exit code."""
    options = _parser().parse_args(arguments)
    directory = options.dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flash_path = flash_file(directory)
    try:
        if options.micropython:
            firmware.install_file(flash_path, options.chip, _FLASH_SIZES[options.flash_size])
        command = options.boot or [micropython.find(), str(BOOT_SCRIPT), str(flash_path), options.mac.hex(":")]
        flash = NorFlash(flash_path, _FLASH_SIZES[options.flash_size])
    except BlockingIOError:
        return _fail(f"a board is running in {directory} already")
    except (FileNotFoundError, FlashRangeError) as error:
        return _fail(str(error))
    program = Program(command, directory / "console.log", {**os.environ, **dict(options.env)})
    port = Port(directory / "tty")
    chip = CHIPS[options.chip]
    chip = replace(chip, registers={**chip.registers, **dict(options.register)})
    efuses = None
    if options.efuses:
        # espefuse is imported for boards that are to have them only
        efuses = Efuses(directory / "efuses.bin", chip, options.mac, options.fault.burn)
    board = Board(chip, options.mac, flash, port, program, options.fault, efuses)
    pid_file = directory / "pid"
    # An exception out of the handler could be lost in a destructor, and this would run for ever.
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    try:
        # whoever started this takes it for ready from here on
        pid_file.write_text(f"{os.getpid()}\n")
        # When its state is removed nothing can find this process any more, so it ends by itself.
        while flash_path.exists() and not ended.is_set():
            board.step()
        return 0
    except UnpluggedError:
        return 0
    finally:
        board.close()
        pid_file.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m virtual.esp32", description="Run one virtual ESP32.")
    parser.add_argument("--dir", type=Path, required=True, help="its directory: flash.bin, tty, console.log, pid")
    parser.add_argument("--mac", type=_mac, required=True, help="such as 24:0a:c4:00:00:01")
    parser.add_argument("--chip", choices=CHIPS, default="esp32")
    parser.add_argument("--flash-size", choices=_FLASH_SIZES, default="4MB")
    parser.add_argument("--micropython", action="store_true", help="where its flash is blank, it has firmware")
    parser.add_argument("--env", type=_variable, action="append", default=[], help="NAME=VALUE for the program")
    parser.add_argument(
        "--fault", type=Faults.parse, default=Faults(), help="silent, drop=N, unplug=N, rot=N or burn=N, with commas"
    )
    parser.add_argument("--efuses", action="store_true", help="it has eFuses, in efuses.bin; not the esp8266")
    parser.add_argument(
        "--register", type=_register, action="append", default=[], help="ADDRESS=VALUE, such as an eFuse"
    )
    parser.add_argument("--boot", nargs=argparse.REMAINDER, help="what to run instead of MicroPython; ends the options")
    return parser


def _mac(text: str) -> bytes:
    mac = bytes.fromhex(text.replace(":", ""))
    if len(mac) != 6:
        raise ValueError(text)
    return mac


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(text)
    return name, value


def _register(text: str) -> tuple[int, int]:
    address, _, value = text.partition("=")
    return int(address, 0), int(value, 0)


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
