"""The sealed next server CA in the place of the server CA, once devices can have heard of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from fleetmint import commands
from fleetmint.ca.identifier import SERVER, SERVER_NEXT, Kind, Phase
from fleetmint.ca.rollover.steps import (
    RETIRE,
    SWITCH,
    Move,
    Rollover,
    Step,
    need,
    need_root,
    put_away,
    refuse_before_switch,
    refuse_while_new_root_waits,
    run,
)
from fleetmint.errors import StateError
from fleetmint.trust import bundle
from fleetmint.x509 import chain, compat
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.profiles import BACKDATE

# A device asks its gateway once a day whom to trust. One that was away for longer than this knows one server CA less,
# and would be lost when two are replaced meanwhile.
LEARN = timedelta(days=30)
# What is left to do, by where the CA lies.
LEFT: Mapping[Phase, Callable[[], str]] = {
    Phase.PREVIOUS: lambda: (
        f"the gateways stand under the new one; {run(Kind.SERVER, RETIRE)} takes the old one out of the devices' trust"
    ),
}


def _switch_server(rollover: Rollover, now: datetime) -> list[Step]:
    store = rollover.store
    refuse_while_new_root_waits(rollover)
    aside = store.place(SERVER.at(Phase.PREVIOUS)).exists()
    if aside and store.exists(SERVER):
        return []
    if not aside:
        need(rollover, SERVER)
        need(rollover, SERVER_NEXT)
        _refuse_unknown_next(rollover, now)
        need_root(rollover, "seal a new next server CA")
    return [("bring the sealed next server CA into service", lambda: store.advance(SERVER, SERVER_NEXT))]


def _retire_server(rollover: Rollover, now: datetime) -> list[Step]:
    refuse_before_switch(rollover, SERVER)
    previous = SERVER.at(Phase.PREVIOUS)
    if not rollover.store.place(previous).exists():
        return []
    current = rollover.store.certificate(SERVER)
    for gateway in rollover.gateways:
        for path in sorted((rollover.issued / gateway).glob("*.crt")):
            if not chain.issued_by(load_certificate(path), current):
                raise StateError(
                    f"{path} is still of the old server CA, and devices would refuse {gateway}: run"
                    f" {commands.playbook('gateway.yml')} for it, or remove the file if no server shows it,"
                    " then run this again"
                )
    return put_away(rollover, [previous])


def _refuse_unknown_next(rollover: Rollover, now: datetime) -> None:
    """Raise StateError while devices may not have heard of the next server CA, unless forced.

    The first one is in every bundle that a factory ever wrote. Of a later one it is known since when it could be
    learned, and not who has.
    """
    store = rollover.store
    made = min(map(compat.not_before, store.certificates(SERVER_NEXT))) + BACKDATE
    if rollover.force or not store.has_retired(SERVER):
        return
    version = bundle.load(store.directory / bundle.FILE).label
    if now - made < LEARN:
        raise StateError(
            f"the next server CA is known since {made:%Y-%m-%d} only (trust bundle {version}): a device that has not"
            f" asked its gateway since then would refuse every gateway. Wait until {made + LEARN:%Y-%m-%d} and see that"
            " all devices have been there, or give ca_rollover_force=true if the others may be lost"
        )


MOVES: Mapping[str, Move] = {SWITCH: _switch_server, RETIRE: _retire_server}
