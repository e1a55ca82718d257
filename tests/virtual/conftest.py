"""Virtual boards as processes of their own, reached like real ones."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# What boots in place of MicroPython: it says so, and stays.
PROGRAM = ["sh", "-c", "echo booted; exec sleep 600"]


@dataclass
class RunningBoard:
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> str:
        return str(self.directory / "tty")

    def flash(self, offset: int, size: int) -> bytes:
        return (self.directory / "flash.bin").read_bytes()[offset : offset + size]

    def write(self, offset: int, data: bytes) -> None:
        """Change the flash behind the board's back."""
        with (self.directory / "flash.bin").open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def console(self) -> str:
        return (self.directory / "console.log").read_text()

    def await_console(self, text: str, times: int = 1) -> str:
        """Return the console once `text` was there so many times."""
        until(lambda: self.console().count(text) >= times, lambda: f"{text!r} in {self.console()!r}")
        return self.console()


def until(condition: Callable[[], object], what: Callable[[], str], seconds: float = 10.0) -> None:
    """Wait for `condition()`; `what()` says what for when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {what()}")
        time.sleep(0.02)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until


@pytest.fixture
def start_board(tmp_path: Path) -> Iterator[Callable[..., RunningBoard]]:
    """Return a function that starts a virtual board; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        name: str = "board",
        *,
        chip: str = "esp32",
        mac: str = "24:0a:c4:00:00:01",
        options: Sequence[str] = (),
        program: Sequence[str] = PROGRAM,
    ) -> RunningBoard:
        directory = tmp_path / name
        command = [
            sys.executable,
            "-m",
            "virtual.esp32",
            "--dir",
            str(directory),
            "--mac",
            mac,
            "--chip",
            chip,
            *options,
        ]
        process = subprocess.Popen([*command, "--boot", *program], cwd=ROOT, stderr=subprocess.PIPE)
        started.append(process)
        until(
            lambda: (directory / "pid").exists() or process.poll() is not None,
            lambda: "the board to start",
        )
        return RunningBoard(directory, process)

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture
def esptool_waits_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have esptool give up after a fraction of a second; its own configuration file is the way to say so."""
    config = tmp_path / "esptool.cfg"
    config.write_text(
        "[esptool]\ntimeout = 0.3\nsync_timeout = 0.05\nwrite_block_attempts = 1\nmd5_timeout_per_mb = 0.3\n"
        "erase_write_timeout_per_mb = 0.3\n"
    )
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(config))
