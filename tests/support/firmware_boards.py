"""Running MicroPython: single scripts with the firmware's modules, and whole boards from a flash file."""

import json
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetmint.flash.table import stock
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode

ROOT = Path(__file__).resolve().parents[2]
BOOT = ROOT / "virtual" / "boot"
# An ESP32 without PSRAM gives a program about 100 KiB; objects are twice as large here, and a test's code and values
# stand beside the agent.
HEAP = "240K"


@dataclass(frozen=True)
class Board:
    """Runs scripts under MicroPython with the firmware's modules at hand."""

    executable: str
    path: tuple[Path, ...]

    def run(self, script: str, *, heap: str = HEAP, timeout: float = 20, **given: Any) -> Any:
        """Run `script` with the literals `given` as globals; return what it passed to result(), through JSON."""
        prelude = (
            f"import sys, json\nsys.path[:0] = {[str(path) for path in self.path]!r}\nglobals().update({given!r})\n"
            # Not in one piece, for which there may be no room.
            "def result(value): print('\\nRESULT ', end=''); json.dump(value, sys.stdout); print()\n"
        )
        # A file, because arguments of MicroPython have at most 255 characters.
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(prelude + script)
            file.flush()
            done = subprocess.run(
                [self.executable, "-X", f"heapsize={heap}", file.name],
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        return json.loads(results[-1].removeprefix("RESULT ")) if results else None


@dataclass
class Booted:
    """A board that runs from its flash file; `console` grows while it runs."""

    process: subprocess.Popen[str]
    flash: Path
    console: list[str]

    def wait_for(self, text: str) -> str:
        """Read the console until a line contains `text`; the process is killed when that takes too long."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(20, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.console.append(line.rstrip("\n"))
                if text in line:
                    return self.console[-1]
        finally:
            watchdog.cancel()
        raise AssertionError(f"{text!r} is not on the console:\n" + "\n".join(self.console))

    def nvs(self) -> dict[str, int | bytes]:
        """What the device has stored, read by the station's decoder."""
        nvs = stock("4MiB").find("nvs")
        return decode(self.flash.read_bytes()[nvs.offset : nvs.end]).get(keys.NAMESPACE, {})
