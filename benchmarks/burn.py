"""What the station adds to the wire: virtual boards whose line takes as long as a real one at 460,800 baud.

    python benchmarks/burn.py [--ports N] [--program BYTES]

Each byte to or from a board costs ten bit times at the speed that the board was told, which the board waits for. The
host's time is what a burn takes beyond that. Then the same boards are burned one after another and all at once. Exits
with 1 when the host takes more than 3 s a board, or all at once is less than 5 times as fast at 8 ports.
"""

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleetmint.flash.burn import Worker
from fleetmint.flash.job import DEFAULT_BAUD, Job, Region
from fleetmint.flash.table import TABLE_OFFSET, stock
from fleetmint.nvs.encode import encode
from virtual.esp32.rack import Blank, Slot

HOST_LIMIT = 3.0
SPEEDUP_LIMIT = 5.0
TABLE = stock("4MiB")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print two lines, and return the exit code."""
    parser = argparse.ArgumentParser(description="What burning takes beyond the wire.")
    parser.add_argument("--ports", type=int, default=8)
    parser.add_argument("--program", type=lambda text: int(text, 0), default=0x40000, help="bytes [0x40000]")
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="fleetmint-burn-", dir="/dev/shm"))
    try:
        rack = Rack(directory, options.ports, options.program)
        alone = [rack.burn(number) for number in range(options.ports)]
        rack.change_boards()
        start = time.monotonic()
        with ThreadPoolExecutor(options.ports) as pool:
            list(pool.map(rack.burn, range(options.ports)))
        together = time.monotonic() - start
        rack.empty()
    finally:
        shutil.rmtree(directory)
    host = statistics.median(whole - wire for whole, wire in zip(alone, rack.wires, strict=True))
    speedup = sum(alone) / together
    sys.stdout.write(
        f"a board of {options.program // 1024} KiB at {DEFAULT_BAUD} baud: {statistics.median(alone):.2f} s, of which"
        f" the wire {statistics.median(rack.wires):.2f} s and the host {host:.2f} s (limit {HOST_LIMIT:g} s)\n"
        f"{options.ports} boards one by one {sum(alone):.1f} s, all at once {together:.1f} s: {speedup:.1f} times"
        f" as fast (limit {SPEEDUP_LIMIT:g} at 8)\n"
    )
    return 0 if host <= HOST_LIMIT and (options.ports < 8 or speedup >= SPEEDUP_LIMIT) else 1


class Rack:
    """Slots with blank boards, and what is burned into them."""

    def __init__(self, directory: Path, ports: int, program: int) -> None:
        self._directory, self._boards = directory, 0
        self._slots = [Slot(directory / f"port-{number}", paced=True) for number in range(ports)]
        nvs, vfs = TABLE.find("nvs"), TABLE.find("vfs")
        self._regions = (
            Region(TABLE_OFFSET, TABLE.to_bytes(), "partition table"),
            # it does not get smaller by compression
            Region(vfs.offset, random.Random(1).randbytes(program), "program"),  # noqa: S311
            Region(nvs.offset, encode({"fleetmint": {"device_id": b"lamp-000001"}}, nvs.size), "nvs"),
        )
        self.wires: list[float] = []
        self._fill()

    def burn(self, number: int) -> float:
        """Burn the board in one slot as a station does, with a process of its own, and return the seconds."""
        port = str(self._slots[number].port)
        start = time.monotonic()
        with Worker(port) as worker:
            worker.identify(hold=True)
            worker.burn(Job(port, "esp32", self._regions))
        return time.monotonic() - start

    def change_boards(self) -> None:
        """Take all boards out, keep how long their lines were busy, and put new ones in."""
        self.empty()
        self.wires = [slot.wire_seconds for slot in self._slots]
        self._fill()

    def empty(self) -> None:
        """Take all boards out."""
        for slot in self._slots:
            slot.take()

    def _fill(self) -> None:
        for slot in self._slots:
            self._boards += 1
            slot.put(Blank(f"24:0a:c4:00:00:{self._boards:02x}", self._directory / f"flash-{self._boards}"))


if __name__ == "__main__":
    sys.exit(main())
