"""What a virtual site is for: a demo, a test run, another checkout; each has its own state, container and ports."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fleetmint.errors import FleetmintError

ROOT = Path(__file__).resolve().parent.parent
INVENTORY = ROOT / "inventory" / "virtual"
VARIABLE = "FLEETMINT_PURPOSE"


@dataclass(frozen=True)
class Purpose:
    """A purpose, and the directory of everything that is made for it."""

    name: str
    state: Path


def current() -> Purpose:
    """Return the purpose that the environment names, `demo` by default; the inventory reads the same variable."""
    name = os.environ.get(VARIABLE) or "demo"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,19}", name):
        raise FleetmintError(f"{VARIABLE} is {name!r}: it has to be 1 to 20 of a-z and 0-9, a letter first")
    return Purpose(name, INVENTORY / "state" / name)
