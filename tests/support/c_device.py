"""A device with the core in C that runs from its flash, beside the test."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.c_esp32 import Esp32
from tests.support.c_esp8266 import POWER_CUT, Esp8266

Board = Esp8266 | Esp32


@dataclass
class Device:
    """A running device; `console` grows while it is read."""

    board: Board
    process: subprocess.Popen[str]
    console: list[str] = field(default_factory=list)

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Read the console until a line contains `text`, and return it; the device ends when that takes too long."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(seconds, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.console.append(line.rstrip("\n"))
                if text in line:
                    return self.console[-1]
        finally:
            watchdog.cancel()
        raise AssertionError(f"{text!r} is not on the console:\n" + "\n".join(self.console))

    def lives_until(self, text: str) -> bool:
        """Read the console until a line contains `text`; False when the power went before that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.console.append(line.rstrip("\n"))
            if text in line:
                return True
        assert self.process.wait() == POWER_CUT, "\n".join(self.console)
        return False

    def stop(self) -> list[str]:
        """Have it say good-bye and end; return the rest of its console."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, "\n".join(self.console) + rest
        return rest.splitlines()

    def ended(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        rest, _ = self.process.communicate(timeout=30)
        self.console += rest.splitlines()
        return self.process.returncode


@contextmanager
def running(program: Path, board: Board, **options: object) -> Iterator[Device]:
    """Switch a device on; `options` are those of firmware/c/test/device.c. It is off in the end."""
    command = [str(program), *board.arguments, *(f"{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Device(board, process)
    finally:
        process.kill()
        process.communicate()
