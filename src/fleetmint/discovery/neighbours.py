"""The network cards that this machine has seen of late: what its kernel notes of neighbours it has talked with."""

import json
import re
import subprocess

# Of Raspberry Pi, by the register of the IEEE. A Pico W has such a card, too.
_OF_A_PI = ("28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01")


def of_a_pi(card: str) -> bool:
    """Whether the address of a network card, such as b8:27:eb:01:02:03, is one of Raspberry Pi's."""
    return card.lower().startswith(_OF_A_PI)


def neighbours() -> dict[str, str]:
    """Return the address of the card by IP address; empty where the system has no such table that we can read."""
    for command, read in ((["ip", "-json", "neigh", "show"], _linux), (["arp", "-an"], _others)):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return read(done.stdout)
    return {}


def _linux(said: str) -> dict[str, str]:
    found = {}
    for each in json.loads(said or "[]"):
        if "lladdr" in each and "FAILED" not in each.get("state", []):
            scope = f"%{each['dev']}" if each["dst"].startswith("fe80:") else ""
            found[each["dst"] + scope] = each["lladdr"].lower()
    return found


def _others(said: str) -> dict[str, str]:
    """Read what macOS and BSD print, which leave out a leading zero of each byte."""
    found = {}
    for address, card in re.findall(r"\(([0-9.]+)\) at ([0-9a-fA-F:]+)", said):
        found[address] = ":".join(byte.zfill(2) for byte in card.lower().split(":"))
    return found
