"""What comes of a board on a port, step by step: what a station tells whoever watches it."""

from collections.abc import Callable
from dataclasses import dataclass

from fleetmint.burn_codes import BurnCode

WAITING, IDENTIFY, BURNING, TESTING = "waiting", "identify", "burning", "testing"
BURNED, KEPT, FAILED = "burned", "kept", "failed"
# What a board ends with; the other states are on the way there.
ENDS = (BURNED, KEPT, FAILED)


@dataclass(frozen=True)
class Outcome:
    """One step of one port.

    `state` is waiting (for a board), identify, burning, testing, and at the end burned, kept (the board was done
    before) or failed; `reason` says why in words, `code` is that of a BurnError, if it was one. `done` of `total`
    bytes of the region called `region` are on the wire.
    """

    port: str
    state: str
    device: str | None = None
    mac: str | None = None
    seconds: float = 0
    reason: str = ""
    code: BurnCode | None = None
    region: str = ""
    done: int = 0
    total: int = 0


Watch = Callable[[Outcome], None]


def ignore(_outcome: Outcome) -> None:
    """Watch nothing."""
