"""The loop of the device, with hardware of the test's."""

from typing import Any

from tests.support.firmware_boards import Board
from tests.support.firmware_gateway import Gateway
from tests.support.firmware_service import RealGateway

# The script of the test, what it keeps, and compiling the agent take a share: benchmarks/device.py measures a board's.
HEAP = "288K"

# The agent with hardware of the test. It ends after so many failures, or when the test's read() says so.
AGENT = """
import asyncio, binascii, gc, json, time
import agent.errors
from agent import Agent
from fake_nvs import NVS, PowerCut

class End(BaseException): pass
class Wlan:
    def __init__(self): self.joined = False
    def active(self, value=None): return True
    def config(self, **values): pass
    def connect(self, ssid, key): self.joined = True
    def isconnected(self): return self.joined
    def status(self): return 1010
class Rtc:
    def datetime(self, value): pass
class Board:
    def reset_cause(self): return "power on"
    def mac(self): return "24:0a:c4:00:00:07"
    def watchdog(self, milliseconds): raise RuntimeError("nobody asked for one")

said, waits = [], []
async def pause(seconds):
    waits.append(seconds)
    if len(waits) >= failures: raise End
readings = [0]
def read():
    readings[0] += 1
    return {"temperature": 21}
published = [0]
def output(line):
    # The test has had enough when something comes after the last message that it wants.
    if published[0] >= enough: raise End
    said.append(line)
    if "published reading" in line:
        published[0] += 1
def on_message(topic, payload):
    said.append("message " + topic + " " + payload.decode())
# What a setup has to tell beside that.
told = lambda: None
asked = []
async def ask(host): asked.append(host)
wlan = Wlan()
nvs = NVS({k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in values.items()}, dies_at, write_survives)
Board.nvs, Board.wlan, Board.rtc = nvs, wlan, Rtc()
device = Agent(read, on_message, every, ntp, board=Board(), ask=ask, output=output)
device._pause = pause
async def main():
    await device.start()
    await device.wait()
SETUP
cut = False
try:
    asyncio.run(main())
except End:
    pass
except PowerCut:
    cut = True
gc.collect()
stored = {k: v if isinstance(v, int) else v.hex() for k, v in nvs.values.items()}
result({"said": said, "waits": waits, "stored": stored, "log": nvs.log, "asked": asked, "cut": cut, "peak": nvs.peak,
        "told": told()})
"""


def run(
    board: Board,
    gateway: Gateway | RealGateway,
    /,
    *,
    setup: str = "",
    failures: int = 1,
    enough: int = 1,
    every: float = 0.05,
    ntp: str | None = None,
    dies_at: int = 0,
    write_survives: bool = False,
    heap: str = HEAP,
    timeout: float = 20,
    **changes: Any,
) -> dict[str, Any]:
    """Run the agent on a board until it has failed so often or the test has had enough; return what came of it.

    With `dies_at` the power goes at that write to the NVS (1 is the first), before or after it took effect. `changes`
    replaces values of the NVS that a device of this gateway starts with.
    """
    values = {k: v if isinstance(v, int) else v.hex() for k, v in gateway.nvs(**changes).items()}
    script = AGENT.replace("SETUP", setup)
    outcome: dict[str, Any] = board.run(
        script,
        values=values,
        failures=failures,
        enough=enough,
        every=every,
        ntp=ntp,
        dies_at=dies_at,
        write_survives=write_survives,
        heap=heap,
        timeout=timeout,
    )
    return outcome


def stored(outcome: dict[str, Any]) -> dict[str, int | bytes]:
    """Return all that the device had in its NVS in the end."""
    values = outcome["stored"].items()
    return {key: value if isinstance(value, int) else bytes.fromhex(value) for key, value in values}


def said(outcome: dict[str, Any], text: str) -> list[str]:
    """Return the lines on the console with this in them."""
    return [line for line in outcome["said"] if text in line]
