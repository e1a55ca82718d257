"""The program of a virtual board: MicroPython's unix port, booting from the flash file."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

_PR_SET_PDEATHSIG = 1
# A console is kept up to this size, in bytes, and started anew by a boot beyond it.
_CONSOLE_LIMIT = 1 << 20
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0
# A program that ran for so many seconds was in order, and is restarted at once.
_GOOD_RUN = 30.0


class Runs(Protocol):
    """What a board runs after its reset."""

    def power_on(self) -> None:
        """Boot at the next tick."""

    def tick(self) -> None:
        """Go on."""

    def stop(self) -> None:
        """Lose the power."""

    def log(self, text: str) -> None:
        """Take a line of the board's own."""

    def output(self) -> bytes:
        """Return what was printed since this was called before."""


class Nothing:
    """A program that does nothing: for boards of which only the flash matters."""

    def power_on(self) -> None:
        """Do nothing."""

    tick = stop = power_on

    def log(self, text: str) -> None:
        """Drop it."""

    def output(self) -> bytes:
        """Print nothing."""
        return b""


class Program:
    """Starts `command` again and again until it is stopped, after a longer and longer pause if it ends early.

    Its output goes to the file `console` (mode 0600). `now` and `started` are seconds of a monotonic clock.
    """

    def __init__(self, command: Sequence[str], console: Path, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._console = console
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = _FIRST_DELAY
        self._due = 0.0
        self._told = 0

    def power_on(self) -> None:
        """Boot at the next tick, without a pause."""
        self._delay = _FIRST_DELAY
        self._due = time.monotonic()

    def tick(self) -> None:
        """Start the program if it is due, notice if it has ended."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            if now - self._started > _GOOD_RUN:
                self._delay = _FIRST_DELAY
            self.log(f"program ended ({self._process.returncode}), boots again in {self._delay:.1f} s")
            self._process = None
            self._due = now + self._delay
            self._delay = min(2 * self._delay, _LONGEST_DELAY)
        if self._process is None and now >= self._due:
            self._start(now)

    def stop(self) -> None:
        """Cut the power: the program gets no chance to finish anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self, text: str) -> None:
        """Write a line of the board's own to the console."""
        descriptor = self._open_console()
        os.write(descriptor, f"[esp32] {text}\n".encode())
        os.close(descriptor)

    def output(self) -> bytes:
        """Return what was printed since this was called before."""
        with contextlib.suppress(FileNotFoundError), self._console.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(self._told if self._told <= size else 0)
            said = file.read()
            self._told = file.tell()
            return said
        return b""

    def _start(self, now: float) -> None:
        if self._console.exists() and self._console.stat().st_size > _CONSOLE_LIMIT:
            self._console.unlink()
        console = self._open_console()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is this project's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=self._environment,
                preexec_fn=_end_with_parent,
            )
        finally:
            os.close(console)
        self._started = now

    def _open_console(self) -> int:
        return os.open(self._console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _end_with_parent() -> None:
    # a board that was killed must not leave its program behind, writing to a flash that the next one uses
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
