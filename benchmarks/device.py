"""What the agent costs a device, on the unix port of MicroPython.

    PYTHONPATH=. python benchmarks/device.py [--micropython FILE]

Prints how long it takes from power-on over enrolment to the first reading, how long a task of the product waits for its
turn, what the agent takes as bytecode, and what it holds of the heap. Exits 1 when the first reading or the bytecode is
above its limit.

With `--micropython FILE` a build for 32 bits shows what the heap of a board holds; on one for 64 bits it is half as
much again. What mbedTLS takes lies outside: stock MicroPython on an ESP32 without PSRAM has 40 KiB for that and all
else, enough for one TLS connection, so the agent ends a session when there is no room to renew beside it.
"""

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
# KiB for Python on an ESP32 without PSRAM.
ESP32 = 110
# A heap in which nothing has to be collected.
LARGE = "600K"
MODULES = """
import asyncio, gc, json
gc.collect()
before = gc.mem_alloc()
import agent.agent
gc.collect()
result(gc.mem_alloc() - before)
"""
IDLE = """
async def main(): gc.collect()
told = lambda: gc.mem_alloc()
"""
PEAK = """
peak = [0]
async def main():
    async def watch():
        while True:
            gc.collect()
            peak[0] = max(peak[0], gc.mem_alloc())
            await asyncio.sleep_ms(3)
    watcher = asyncio.create_task(watch())
    await device.start()
    await device.wait()
told = lambda: peak[0]
"""
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
    parser = argparse.ArgumentParser(description="What the agent costs a device.")
    parser.add_argument("--micropython", default=find(), help="the unix port to use [the one of the tests]")
    micropython = parser.parse_args().micropython
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    with place() as directory:
        board = Board(micropython, (modules_in(directory / "modules"),))
        seconds = [first_reading(micropython, site) for _ in range(ROUNDS)]
        median = statistics.median(seconds)
        say(f"first reading        {median:6.2f} s from power-on, median of {ROUNDS} (limit {FIRST_READING:.0f} s)")
        gaps(board, site)
        size = bytecode(directory)
        if size is not None:
            say(f"bytecode             {size / 1024:6.1f} KiB (limit {BYTECODE // 1024} KiB)")
        heaps(board, site)
    return 0 if median <= FIRST_READING and (size or 0) <= BYTECODE else 1


def first_reading(micropython: str, site: Any) -> float:
    """Return the seconds from power-on to the first reading that the broker has acknowledged."""
    with place() as directory, gateway_of(site, directory / "gateway") as gateway:
        flash = flash_in(directory, gateway.nvs())
        started = time.monotonic()
        command = [micropython, str(BOOT / "boot.py"), str(flash), "24:0a:c4:00:00:07"]
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
    """Print what the modules, a session and a renewal beside it hold of the heap, garbage not counted."""
    modules = board.run(MODULES, heap=LARGE)
    print_heap("modules", modules, f"compiled in a heap of {_smallest(board)} KiB")
    idle = held(board, site, IDLE)
    session = held(board, site, PEAK) - idle
    renewal = held(board, site, RENEWS + PEAK, enough=30) - idle
    print_heap("session", session, "beside the modules")
    print_heap("renewal", renewal, "with the session that stays open meanwhile")
    left = ESP32 - (modules + renewal) / 1024
    print_heap("together", modules + renewal, f"which leaves {left:.0f} of the {ESP32} KiB of an ESP32 without PSRAM")


def print_heap(title: str, size: int, remark: str) -> None:
    """Print one line about the heap."""
    say(f"heap, {title:14s} {size / 1024:6.1f} KiB, {remark}")


def held(board: Board, site: Any, setup: str, enough: int = 5) -> int:
    """Return the most bytes in use while an enrolled device works, the doubles of the test included."""
    with place() as directory, gateway_of(site, directory / "gateway") as gateway:
        values = renewing(gateway, site)
        outcome = run(board, gateway, setup=setup, enough=enough, heap=LARGE, timeout=60, **values)
        if said(outcome, "too little memory"):
            raise AssertionError("the heap of this benchmark is too small")
        return int(outcome["told"])


def _smallest(board: Board) -> int:
    # In KiB, to within 4.
    low, high = 32, 512
    while high - low > 4:
        middle = (low + high) // 2
        try:
            board.run(MODULES, heap=f"{middle}K")
            high = middle
        except AssertionError:
            low = middle
    return high


if __name__ == "__main__":
    sys.exit(main())
