"""A new device CA, server CA or root in the place of the one in use, while both are trusted: each move, and when.

    device   introduce: a new CA for each gateway, trusted at its ports    switch: it issues    retire: the old one ends
    server   switch: the sealed next CA is in use, and a new one is sealed                      retire: the old one ends
    root     introduce: a new root, trusted, and each CA certified by it   switch: it is shown  leave, retire: the same

Between two moves the gateways get what follows from the last one (gateway_files.py). What lies on disk says how far a
rollover is (generations.py), so a run that was cut is simply run again: a move that was made is not made twice, one
that was half made is finished. A key is moved and never made again; those of retired CAs stay, encrypted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetmint import commands
from fleetmint.ca import generations
from fleetmint.ca.generations import INCOMING, LEAVING, OUTGOING, ROOT
from fleetmint.ca.hierarchy import check_clock, title
from fleetmint.ca.rollover import device, root, server
from fleetmint.ca.rollover.steps import DEVICE, INTRODUCE, LEAVE, SERVER, SWITCH, Move, Rollover
from fleetmint.errors import FleetmintError, StateError
from fleetmint.plan import Plan

_MOVES: Mapping[str, Mapping[str, Move]] = {DEVICE: device.MOVES, SERVER: server.MOVES, ROOT: root.MOVES}
_LEFT: Mapping[str, Mapping[str, Callable[[], str]]] = {DEVICE: device.LEFT, SERVER: server.LEFT, ROOT: root.LEFT}


@dataclass(frozen=True)
class Moved:
    """What a move leaves behind: `left` says what is left to do, empty when nothing is."""

    left: str


def plan_move(rollover: Rollover, move: str, now: datetime) -> Plan[Moved]:
    """Plan one move; empty when it was made before.

    Raises StateError when it must not be made now, with what to wait for or to do instead, and ClockError.
    """
    moves = _MOVES.get(rollover.kind, {})
    if move not in moves:
        raise FleetmintError(f"a {rollover.kind} has no move {move!r}: choose one of {', '.join(moves) or 'none'}")
    roots = generations.roots(rollover.directory)
    if not roots:
        raise StateError(f"there is no root in {rollover.directory}: run {commands.playbook('ca.yml')} first")
    check_clock(roots[0], now)
    steps = moves[move](rollover, now)

    moved = Moved(_left_after(rollover, move))

    def apply() -> Moved:
        for _, step in steps:
            step()
        return moved

    reasons = tuple(reason for reason, _ in steps)
    return Plan(reasons, apply, after="".join(f"{reason}\n" for reason in reasons), expected=moved)


def left_to_do(directory: Path) -> list[str]:
    """Return a sentence for every rollover that is under way: how far it is, and what comes next."""
    found = []
    for name in generations.authorities(directory):
        kind = DEVICE if generations.base(name).startswith("device-") else generations.base(name)
        sentence = _LEFT.get(kind, {}).get(generations.phase(name))
        if sentence is not None:
            found.append(f"{title(name)}: {sentence()}")
    return found


def _left_after(rollover: Rollover, move: str) -> str:
    place = {INTRODUCE: INCOMING, SWITCH: OUTGOING, LEAVE: LEAVING}.get(move, "")
    sentence = _LEFT[rollover.kind].get(place)
    return "" if sentence is None else sentence()
