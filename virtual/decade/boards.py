"""A few boards among the devices: MicroPython with the agent of firmware/, under the same clock.

Their agent sleeps by a monotonic clock, which knows nothing of the days that pass. So a board lives on one day in some,
from its power-on until it has sent a reading, as one that sleeps deeply in between does.
"""

import time
from pathlib import Path

from virtual.decade.device import Day
from virtual.esp32 import fleet
from virtual.esp32.fleet import Slot

# From power-on to the first reading, with a renewal in between, on a machine that has other things to do.
SECONDS = 90
_INTERVAL = 0.1
_SERVED = "published reading"
# what the console says → what the record counts it as
_DID = {"renewed, certificate": "renewed", "recovered, certificate": "recovered", "enrolled, certificate": "enrolled"}
_SAID = 12


def lives(state: Path) -> dict[int, Day]:
    """Switch all boards on until each has sent a reading; return the day of each by number."""
    fleet.down(state)
    before = {slot.number: len(_console(slot)) for slot in fleet.slots(state)}
    fleet.up(state, len(before))
    days = {slot.number: _live(slot, before.get(slot.number, 0)) for slot in fleet.slots(state)}
    fleet.down(state)
    return days


def _live(slot: Slot, before: int) -> Day:
    deadline = time.monotonic() + SECONDS
    said = ""
    while time.monotonic() < deadline:
        text = _console(slot)
        # a boot starts a console that is too long anew
        said = text[before:] if len(text) >= before else text
        if _SERVED in said:
            break
        time.sleep(_INTERVAL)
    did = [word for sign, word in _DID.items() if sign in said]
    lines = said.splitlines()[-_SAID:]
    return Day(did=did, served=_SERVED in said, refused=[] if _SERVED in said else lines or ["its console is silent"])


def _console(slot: Slot) -> str:
    path = slot.directory / "console.log"
    return path.read_text(errors="replace") if path.exists() else ""
