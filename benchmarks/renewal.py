"""What a renewal beside an open session takes of a board's memory, and what a board has left.

    PYTHONPATH=. python benchmarks/renewal.py [--board KIB]

The agent, compiled as a board loads it, runs under the unix port of MicroPython against a gateway with TLS. Measured is
MicroPython's heap, as the smallest one with which the device gets so far, and what mbedTLS takes beside it, as what the
process gets for data. On an ESP32 both come from the same memory.

What a board needs is estimated: the bytecode as it is and half of the rest of the heap, because objects are twice as
large on 64 bits; of mbedTLS 12 KiB a connection less, because a board sends from buffers of 4 KiB and not of 16
(CONFIG_MBEDTLS_ASYMMETRIC_CONTENT_LEN). `--board` is what both have together, in KiB: an ESP32 without PSRAM has 195
when MicroPython has started (github.com/micropython/micropython/issues/7214), of which its Wi-Fi takes about 45.

Exits 1 when a session alone does not fit, which a renewal needs where one beside a session does not.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fleetmint.nvs import keys
from tests.support.firmware_gateway import Gateway, gateway_of
from tests.support.firmware_site import make_site

ROOT = Path(__file__).resolve().parents[1]
BOARD = 150
# KiB: the steps in which a heap is looked for, and one that is certainly enough.
STEP, ENOUGH = 4, 512
# KiB that the buffers of a connection are smaller on a board.
SMALLER = 12
# What is freed goes back to the system at once, so that it is seen.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "8192", "MALLOC_TRIM_THRESHOLD_": "4096", "MALLOC_TOP_PAD_": "0"}

ACCEPTED, SESSION, RENEWED = "the gateway accepts this device until", "connected to the broker", "renewed"

SCRIPT = """
import sys
sys.path[:0] = [{modules!r}]
import asyncio, gc, json
from agent import Agent, trust
from fake_nvs import NVS

class Wlan:
    def active(self, value=None): return True
    def config(self, **values): pass
    def isconnected(self): return True
class Rtc:
    def datetime(self, value): pass
class Board:
    def reset_cause(self): return "power on"
    def mac(self): return "24:0a:c4:00:00:07"
async def ask(host): pass
values = json.loads(open({values!r}).read())
Board.nvs = NVS({{k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in values.items()}})
del values
Board.wlan, Board.rtc = Wlan(), Rtc()
lasts = [200, 10**7]
trust.patience = lambda: lasts.pop(0) if lasts else 10**7
memory, line = {{}}, ["start"]

def note():
    if {watch}:
        for row in open("/proc/self/status"):
            if row.startswith("VmData"):
                memory[line[0]] = max(memory.get(line[0], 0), int(row.split()[1]))

def output(text):
    line[0] = text.split(": ", 1)[1].split(" 20")[0]
    if line[0].startswith({wanted!r}) or "trying again" in line[0] or "ending it" in line[0]:
        print("RESULT", json.dumps([line[0], memory]))
        sys.exit()
    note()

async def sample():
    while {watch}:
        note()
        await asyncio.sleep_ms(1)

async def main():
    agent = Agent(board=Board(), ask=ask, output=output)
    note()
    await agent.start()
    asyncio.create_task(sample())
    await agent.wait()
asyncio.run(main())
"""


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="The memory of a renewal beside an open session.")
    parser.add_argument("--board", type=int, default=BOARD, metavar="KIB", help=f"of both heaps (default {BOARD})")
    board = parser.parse_args().board
    with tempfile.TemporaryDirectory() as directory:
        modules = _compiled(Path(directory) / "modules")
        bytecode = sum(file.stat().st_size for file in (modules / "agent").iterdir()) // 1024
        heaps = [_smallest_heap(modules, wanted) for wanted in (SESSION, RENEWED)]
        _, memory = _run(modules, ENOUGH, RENEWED, watch=True)
    begin = memory["start"]
    # the session opens after the line before it, and the gateway is asked beside it from its own line on
    tls = [memory[ACCEPTED] - begin, memory["renewing"] - begin]
    sys.stdout.write(f"the agent's bytecode: {bytecode} KiB; an ESP32 without PSRAM has {board} KiB for both heaps\n")
    needs = []
    for name, connections in (("a session", 1), ("a renewal beside it", 2)):
        heap, data = heaps[connections - 1], tls[connections - 1]
        on_board = (bytecode + (heap - bytecode) // 2, data - connections * SMALLER)
        needs.append(sum(on_board))
        sys.stdout.write(
            f"{name:20} MicroPython {heap:4} KiB and mbedTLS {data:3} KiB here,"
            f" about {on_board[0]:3} + {on_board[1]:2} on a board: {board - needs[-1]:4} left\n"
        )
    if needs[1] > board:
        sys.stdout.write("a board without PSRAM ends its session for a renewal\n")
    return int(needs[0] > board)


def _compiled(modules: Path) -> Path:
    """Compile the agent, and put the double of the NVS beside it."""
    (modules / "agent").mkdir(parents=True)
    sources = [*(ROOT / "firmware" / "agent").glob("*.py"), Path(keys.__file__).with_name("keys.py")]
    for source in sources:
        name = "nvs_keys" if source.name == "keys.py" else source.stem
        _compile(source, modules / "agent" / f"{name}.mpy")
    double = ROOT / "tests" / "firmware" / "doubles" / "fake_nvs.py"
    _compile(double, modules / "fake_nvs.mpy")
    return modules


def _compile(source: Path, target: Path) -> None:
    subprocess.run([_program("mpy-cross"), "-o", target, source], check=True)  # noqa: S603 - our own files


def _program(name: str) -> str:
    return shutil.which(name) or sys.exit(f"there is no {name} here: scripts/setup installs it")


def _run(modules: Path, heap: int, wanted: str, *, watch: bool = False) -> tuple[bool, dict[str, int]]:
    """Run the device with a heap of `heap` KiB until a line that begins with `wanted` was said.

    Returns whether it was, and with `watch` the KiB of data of the process at most between a line and the next.
    """
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    identity = site.device()
    with tempfile.TemporaryDirectory() as directory, gateway_of(site, Path(directory) / "gateway") as gateway:
        _want_renewal_later(gateway, identity.der)
        given = gateway.nvs(token=None, slot=0, key0=identity.key_der, cert0=identity.der)
        values = Path(directory) / "nvs.json"
        values.write_text(json.dumps({k: v if isinstance(v, int) else v.hex() for k, v in given.items()}))
        script = Path(directory) / "device.py"
        script.write_text(SCRIPT.format(modules=str(modules), values=str(values), wanted=wanted, watch=watch))
        command = [_program("micropython"), "-X", f"heapsize={heap}K", str(script)]
        environment = {**os.environ, **ALLOCATOR}
        # our own script, as above
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not results:
        return False, {}
    line, memory = json.loads(results[-1])
    return line.startswith(wanted), memory


def _want_renewal_later(gateway: Gateway, der: bytes) -> None:
    """Have the gateway ask for a renewal once the session is open."""
    succession = gateway.succession
    plain = succession.whoami

    def whoami(shown: bytes | None, label: str | None) -> bytes:
        answer = plain(shown, label)
        succession.renew = {der}
        return answer

    vars(succession)["whoami"] = whoami


def _smallest_heap(modules: Path, wanted: str) -> int:
    """Return the smallest heap in KiB with which the device gets so far, in steps of STEP."""
    low, high = 0, ENOUGH // STEP
    if not _run(modules, ENOUGH, wanted)[0]:
        sys.exit(f"with {ENOUGH} KiB the device does not get as far as {wanted!r}")
    while high - low > 1:
        middle = (low + high) // 2
        if _run(modules, middle * STEP, wanted)[0]:
            high = middle
        else:
            low = middle
    return high * STEP


if __name__ == "__main__":
    sys.exit(main())
