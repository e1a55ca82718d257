"""A new CA in the place of the one in use, while both are trusted: each move, and when.

    device   introduce: a new CA for each gateway, trusted at its ports    switch: it issues    retire: the old one ends
    operator, factory   the same, with one CA for all gateways
    server   switch: the sealed next CA is in use, and a new one is sealed                      retire: the old one ends
    root     introduce: a new root, trusted, and each CA certified by it   switch: it is shown  leave, retire: the same

Between two moves the gateways get what follows from the last one (gateway_files.py). What lies on disk says how far a
rollover is (identifier.py), so a run that was cut is simply run again: a move that was made is not made twice, one
that was half made is finished. A key is moved and never made again; those of retired CAs stay, encrypted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetmint import commands
from fleetmint.ca.hierarchy import check_clock
from fleetmint.ca.identifier import Kind, Phase
from fleetmint.ca.rollover import client, root, server
from fleetmint.ca.rollover.steps import INTRODUCE, LEAVE, SWITCH, Move, Rollover, run
from fleetmint.ca.store import CaStore
from fleetmint.errors import FleetmintError, StateError
from fleetmint.plan import Plan

_MOVES: Mapping[Kind, Mapping[str, Move]] = {
    **dict.fromkeys(client.KINDS, client.MOVES),
    Kind.SERVER: server.MOVES,
    Kind.ROOT: root.MOVES,
}
_LEFT: Mapping[Kind, Mapping[Phase, Callable[[], str]]] = {
    **{kind: client.left(kind) for kind in client.KINDS},
    Kind.SERVER: server.LEFT,
    Kind.ROOT: root.LEFT,
}


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
    roots = rollover.store.roots()
    if not roots:
        raise StateError(f"there is no root in {rollover.store.directory}: run {commands.playbook('ca.yml')} first")
    check_clock(roots[0], now)
    steps = moves[move](rollover, now)

    moved = Moved(_left_after(rollover, move, now))

    def apply() -> Moved:
        for _, step in steps:
            step()
        return moved

    reasons = tuple(reason for reason, _ in steps)
    return Plan(reasons, apply, after="".join(f"{reason}\n" for reason in reasons), expected=moved)


def left_to_do(directory: Path) -> list[str]:
    """Return a sentence for every rollover that is under way: how far it is, and what comes next."""
    found = []
    for ca in CaStore(directory).identifiers():
        sentence = _LEFT.get(ca.kind, {}).get(ca.phase)
        if sentence is not None:
            found.append(f"{ca.title}: {sentence()}")
    return found


def _left_after(rollover: Rollover, move: str, now: datetime) -> str:
    if rollover.kind in client.KINDS and move in (INTRODUCE, SWITCH) and (asked := client.waiting(rollover, now)):
        titles = ", ".join(ca.title for ca in asked)
        return (
            f"the root has not certified the new {titles} yet: carry the requests to its machine (docs/ceremony.md),"
            f" bring what it answers, and run {run(rollover.kind)} again"
        )
    phases = {INTRODUCE: Phase.PENDING, SWITCH: Phase.PREVIOUS, LEAVE: Phase.DISTRUSTED}
    sentence = _LEFT[rollover.kind].get(phases.get(move, Phase.ACTIVE))
    return "" if sentence is None else sentence()
