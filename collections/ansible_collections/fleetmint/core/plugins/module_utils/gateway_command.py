# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the program on a gateway is called, and what its answers mean. It needs nothing but Python."""

from __future__ import annotations

import json
from typing import Any

PROGRAM = "/opt/fleetmint/bin/fleetmint"
ACCOUNT = "fleetmint"

# What each command does about check mode: it says itself what would change, it changes nothing at any time, or neither,
# so that it is left out. A test compares this with the commands.
CHECKING = frozenset(
    {
        "import", "init", "install-ca", "install-pin", "publish", "repair-clock", "restore", "retire-ca", "revoke",
        "sign-crl",
    }
)  # fmt: skip
READING = frozenset({"audit", "ca-status", "devices", "health", "superseded"})

_SAYS = "fleetmint: "
_WARNS = f"{_SAYS}warning: "


def argv(command: list[str], *, check: bool = False, program: str = PROGRAM) -> list[str]:
    """Return the command line for a command of the group `gateway` and its arguments."""
    name, *rest = command
    # before what may follow a `--`
    options = ["--json", "--check"] if check and name in CHECKING else ["--json"]
    return [program, "gateway", name, *options, *rest]


def answer(stdout: str) -> dict[str, Any]:
    """Return the object that a command has printed; raise ValueError when it is none."""
    found = json.loads(stdout.splitlines()[-1] if stdout.strip() else "")
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def sentence(stderr: str, stdout: str = "") -> str:
    """Return why a command has failed, in its own words."""
    lines = [line for line in (stderr.strip() or stdout.strip()).splitlines() if not line.startswith(_WARNS)]
    said = [number for number, line in enumerate(lines) if line.startswith((_SAYS, "Error: "))]
    text = "\n".join(lines[said[-1] if said else -1 :]).strip()
    return text.removeprefix(_SAYS).removeprefix("Error: ") or "it said nothing"


def remarks(stderr: str) -> list[str]:
    """Return what a command had to say although it did its work."""
    return [
        line.removeprefix(_SAYS).removeprefix("warning: ") for line in stderr.splitlines() if line.startswith(_SAYS)
    ]
