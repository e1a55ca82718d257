"""Several virtual ESP32s in the background: python -m virtual.esp32.fleet up|down|status --state DIRECTORY.

Board n lives in DIRECTORY/boards/n and has the MAC address 24:0a:c4:00:00:0n. `up` leaves a board alone that runs as it
should, and starts it anew when its options differ; `down` ends the processes and keeps the flashes. Each prints what
is there as JSON.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetmint.errors import FleetmintError
from virtual.esp32.chips import CHIPS

ROOT = Path(__file__).resolve().parent.parent.parent
_MODULE = "virtual.esp32"
_MAC_PREFIX = bytes.fromhex("240ac40000")
_START_SECONDS = 20.0
_STOP_SECONDS = 60.0
_INTERVAL = 0.05


class FleetError(FleetmintError):
    """A virtual board did not start or did not end; the message says why."""


@dataclass(frozen=True)
class Slot:
    """The place of one virtual board: its number, from 1, and its directory."""

    number: int
    directory: Path

    @property
    def mac(self) -> str:
        """The MAC address of the board, from Espressif's block."""
        return (_MAC_PREFIX + bytes([self.number])).hex(":")

    @property
    def port(self) -> Path:
        """The serial port to give to esptool."""
        return self.directory / "tty"

    def pid(self) -> int | None:
        """Return the process that runs this board, None when nothing does.

        A pid in a file can meanwhile belong to somebody else, so the process has to say that it is this board.
        """
        try:
            pid = int((self.directory / "pid").read_text())
        except (OSError, ValueError):
            return None
        words = _command_line(pid)
        return pid if _MODULE in words and str(self.directory) in words else None

    def describe(self) -> dict[str, object]:
        """Return what there is to know about the board, as JSON values."""
        pid = self.pid()
        return {"board": self.number, "mac": self.mac, "port": str(self.port), "pid": pid, "running": pid is not None}


def slots(state: Path) -> list[Slot]:
    """Return the boards that have a directory under `state`, in order."""
    numbers = sorted(int(path.name) for path in (state / "boards").glob("*") if path.name.isdecimal())
    return [_slot(state, number) for number in numbers]


def up(state: Path, count: int, options: Sequence[str] = (), *, blank: bool = False) -> list[Path]:
    """Make boards 1 to `count` run with `options` of python -m virtual.esp32; return their serial ports.

    A new flash has MicroPython in it unless it is to be `blank`.

    Raises FleetError when one does not start.
    """
    if not 1 <= count <= 255:
        raise FleetError(f"a fleet has 1 to 255 virtual boards, not {count}")
    fleet = [_slot(state, number) for number in range(1, count + 1)]
    started = []
    for slot in fleet:
        wanted = options if blank else ["--micropython", *options]
        command = [sys.executable, "-m", _MODULE, "--dir", str(slot.directory), "--mac", slot.mac, *wanted]
        pid = slot.pid()
        if pid is None or _command_line(pid) != command:
            stop(slot)
            started.append((slot, _start(slot, command)))
    for slot, process in started:
        _await(slot, process)
    return [slot.port for slot in fleet]


def down(state: Path) -> None:
    """End every board under `state`; its flash stays. Raises FleetError when one does not end."""
    for slot in slots(state):
        stop(slot)


def stop(slot: Slot) -> None:
    """End the board's process, if there is one, and remove its port."""
    pid = slot.pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while slot.pid() == pid:
            if time.monotonic() > deadline:
                raise FleetError(f"board {slot.number} (process {pid}) does not end")
            time.sleep(_INTERVAL)
    # after a kill -9 these would name a process and a terminal of somebody else
    slot.port.unlink(missing_ok=True)
    (slot.directory / "pid").unlink(missing_ok=True)


def _slot(state: Path, number: int) -> Slot:
    return Slot(number, (state / "boards" / str(number)).resolve())


def _start(slot: Slot, command: Sequence[str]) -> "subprocess.Popen[bytes]":
    slot.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = os.open(slot.directory / "board.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - this very package
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)


def _await(slot: Slot, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while slot.pid() != process.pid:
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            reason = (slot.directory / "board.log").read_text(errors="replace").strip().rpartition("\n")[2]
            raise FleetError(f"board {slot.number} did not start: {reason or f'exit code {code}'}")
        time.sleep(_INTERVAL)
    # it is meant to outlive this process: nothing to wait for
    process.returncode = 0


def _command_line(pid: int) -> list[str]:
    """Return the words of a process's command line, none for a process that is gone or has ended."""
    with contextlib.suppress(OSError):
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        return raw.decode(errors="replace").split("\0")[:-1]
    return []


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    options = _parser().parse_args(arguments)
    before = [slot.pid() for slot in slots(options.state)]
    try:
        if options.command == "up":
            extra = ["--chip", options.chip, "--flash-size", options.flash_size]
            up(
                options.state,
                options.count,
                [*extra, *(f"--env={variable}" for variable in options.env)],
                blank=options.blank,
            )
        elif options.command == "down":
            down(options.state)
    except FleetError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    boards = [slot.describe() for slot in slots(options.state)]
    changed = before != [board["pid"] for board in boards]
    sys.stdout.write(json.dumps({"changed": changed, "boards": boards}) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m virtual.esp32.fleet", description="Run virtual ESP32s.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "status"):
        command = commands.add_parser(name)
        command.add_argument("--state", type=Path, required=True, help="the state directory of the site")
        if name == "up":
            command.add_argument("--blank", action="store_true", help="no firmware in a new flash")
            command.add_argument("--count", type=int, default=3)
            command.add_argument("--chip", choices=CHIPS, default="esp32")
            command.add_argument("--flash-size", default="4MB")
            command.add_argument("--env", action="append", default=[], help="NAME=VALUE for the programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
