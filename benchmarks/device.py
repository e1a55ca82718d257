"""What the agent costs a device, on the unix port of MicroPython.

    PYTHONPATH=. python benchmarks/device.py

Prints how long it takes from power-on over enrolment to the first reading, how long a task of the product waits for its
turn, what the agent takes as bytecode, and the smallest heap in which it comes so far as each line says. Exits 1 when
the first reading or the bytecode is above its limit.

The heaps hold the agent, compiled from its source, and the doubles of the test. Pointers of a board have half the size,
so it needs some 60 % of that; what mbedTLS takes lies outside in both. Stock MicroPython on an ESP32 without PSRAM has
110 KiB for Python and some 40 for everything else: enough for one TLS connection at a time, so the agent ends a session
when there is no room to renew beside it.
"""

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.firmware_agent import run, said
from tests.support.firmware_boards import BOOT, Board
from tests.support.firmware_flash import flash_in, modules_in
from tests.support.firmware_gaps import gaps_beside_the_agent
from tests.support.firmware_gateway import Gateway, gateway_of
from tests.support.firmware_site import make_site
from virtual.esp32.micropython import find

FIRST_READING = 2.0
BYTECODE = 48 * 1024
ROUNDS = 5
# A renewal beside the session, once it is open.
RENEWS = "from agent import trust\ntrust.patience = lambda: 500\ndevice._new_key = True\n"


def say(line: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(line + "\n")


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A directory for a while."""
    with tempfile.TemporaryDirectory(prefix="device-") as name:
        yield Path(name)


def main() -> int:
    """Measure, print, and return the exit code."""
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    with place() as directory:
        board = Board(find(), (modules_in(directory / "modules"),))
        seconds = [first_reading(site) for _ in range(ROUNDS)]
        median = statistics.median(seconds)
        say(f"first reading        {median:6.2f} s from power-on, median of {ROUNDS} (limit {FIRST_READING:.0f} s)")
        gaps(board, site)
        size = bytecode(directory)
        if size is not None:
            say(f"bytecode             {size / 1024:6.1f} KiB (limit {BYTECODE // 1024} KiB)")
        heaps(board, site)
    return 0 if median <= FIRST_READING and (size or 0) <= BYTECODE else 1


def first_reading(site: Any) -> float:
    """Return the seconds from power-on to the first reading that the broker has acknowledged."""
    with place() as directory, gateway_of(site, directory / "gateway") as gateway:
        flash = flash_in(directory, gateway.nvs())
        started = time.monotonic()
        command = [find(), str(BOOT / "boot.py"), str(flash), "24:0a:c4:00:00:07"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own board
            try:
                for line in process.stdout or ():
                    if "published reading 1" in line:
                        return time.monotonic() - started
            finally:
                process.kill()
    raise AssertionError("there was no reading")


def renewing(gateway: Gateway, site: Any) -> dict[str, Any]:
    """Let this gateway want a renewal with a new key once it has seen the device; return the values of the device."""
    identity, first = site.device(), gateway.succession.whoami

    def whoami(der: bytes | None, label: str | None) -> bytes:
        answer = first(der, label)
        gateway.succession.renew, gateway.succession.new_key = {identity.der}, True
        return answer

    gateway.succession.whoami = whoami  # type: ignore[method-assign]
    return {"token": None, "slot": 0, "key0": identity.key_der, "cert0": identity.der}


def gaps(board: Board, site: Any) -> None:
    """Print how long a task of the product waits for its turn."""
    for title in ("enrolment", "renewal"):
        with place() as directory, gateway_of(site, directory / "gateway") as gateway:
            values = renewing(gateway, site) if title == "renewal" else {}
            setup = RENEWS if values else ""
            outcome = gaps_beside_the_agent(board, gateway, setup=setup, enough=30, timeout=60, **values)
            told = outcome["told"]
            cpu, wall = told["cpu"][0], told["wall"][0]
            say(
                f"gaps, {title:14s} {cpu:6.1f} ms of CPU, {wall:.1f} ms on the clock; "
                f"apart: {told['handshake']:.1f} ms in a step of a handshake, "
                f"{told['arithmetic']:.1f} ms in one of {told['steps']} steps of arithmetic"
            )


def bytecode(directory: Path) -> int | None:
    """Return the bytes of all modules as mpy-cross compiles them, None where that is missing."""
    compiler = shutil.which("mpy-cross")
    if compiler is None:
        return None
    total = 0
    for module in (directory / "modules" / "agent").glob("*.py"):
        compiled = directory / "module.mpy"
        subprocess.run([compiler, "-o", compiled, module], check=True)  # noqa: S603 - our own modules
        total += compiled.stat().st_size
    return total


def heaps(board: Board, site: Any) -> None:
    """Print the smallest heap for each stage."""

    def imports(heap: int) -> bool:
        return _survives(lambda: board.run("import agent.agent\nresult(1)", heap=f"{heap}K"))

    def session(heap: int) -> bool:
        return _survives(lambda: bool(said(_outcome(heap, renewal=False), "published reading 3")))

    def renewal(heap: int) -> bool:
        # Beside the session, that is: it was not ended for its memory.
        def tried() -> bool:
            outcome = _outcome(heap, renewal=True)
            return outcome["stored"]["slot"] == 1 and not said(outcome, "too little memory")

        return _survives(tried)

    def _outcome(heap: int, *, renewal: bool) -> dict[str, Any]:
        with place() as directory, gateway_of(site, directory / "gateway") as gateway:
            values = renewing(gateway, site)
            enough = 30 if renewal else 3
            setup = RENEWS if renewal else ""
            return run(board, gateway, setup=setup, enough=enough, heap=f"{heap}K", **values)

    for title, works in (("modules", imports), ("session", session), ("renewal", renewal)):
        say(f"heap, {title:14s} {_smallest(works):6d} KiB")


def _survives(work: Callable[[], object]) -> bool:
    try:
        return bool(work())
    except AssertionError:
        return False


def _smallest(works: Callable[[int], bool], low: int = 32, high: int = 512) -> int:
    # To within 8 KiB.
    while high - low > 8:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


if __name__ == "__main__":
    sys.exit(main())
