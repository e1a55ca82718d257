"""The sealed next server CA in the place of the server CA, once devices can have heard of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from fleetmint import commands
from fleetmint.ca.generations import CERTIFICATE_INCOMING, CERTIFICATE_OUTGOING, OUTGOING, RETIRED
from fleetmint.ca.rollover.steps import (
    RETIRE,
    SERVER,
    SWITCH,
    Move,
    Rollover,
    Step,
    advance,
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
from fleetmint.x509.authority import CERTIFICATE, load_certificate
from fleetmint.x509.profiles import BACKDATE

# A device asks its gateway once a day whom to trust. One that was away for longer than this knows one server CA less,
# and would be lost when two are replaced meanwhile.
LEARN = timedelta(days=30)
# What is left to do, by where the CA lies.
LEFT: Mapping[str, Callable[[], str]] = {
    OUTGOING: lambda: (
        f"the gateways stand under the new one; {run(SERVER, RETIRE)} takes the old one out of the devices' trust"
    ),
}


def _switch_server(rollover: Rollover, now: datetime) -> list[Step]:
    directory = rollover.directory
    refuse_while_new_root_waits(rollover)
    outgoing = directory / OUTGOING / SERVER
    if outgoing.exists() and (directory / SERVER / CERTIFICATE).exists():
        return []
    if not outgoing.exists():
        need(rollover, SERVER)
        need(rollover, "server-next")
        _refuse_unknown_next(rollover, now)
        need_root(rollover, "seal a new next server CA")
    return [("bring the sealed next server CA into service", lambda: advance(directory, SERVER, "server-next"))]


def _retire_server(rollover: Rollover, now: datetime) -> list[Step]:
    refuse_before_switch(rollover, SERVER)
    if not (rollover.directory / OUTGOING / SERVER).exists():
        return []
    current = load_certificate(rollover.directory / SERVER / CERTIFICATE)
    for gateway in rollover.gateways:
        for path in sorted((rollover.issued / gateway).glob("*.crt")):
            if not chain.issued_by(load_certificate(path), current):
                raise StateError(
                    f"{path} is still of the old server CA, and devices would refuse {gateway}: run"
                    f" {commands.playbook('gateway.yml')} for it, or remove the file if no server shows it,"
                    " then run this again"
                )
    return put_away(rollover, [f"{OUTGOING}/{SERVER}"])


def _refuse_unknown_next(rollover: Rollover, now: datetime) -> None:
    """Raise StateError while devices may not have heard of the next server CA, unless forced.

    The first one is in every bundle that a factory ever wrote. Of a later one it is known since when it could be
    learned, and not who has.
    """
    made = _made(rollover.directory, "server-next")
    if rollover.force or not list((rollover.directory / RETIRED).glob(f"{SERVER}.*")):
        return
    version = bundle.load(rollover.directory / bundle.FILE).label
    if now - made < LEARN:
        raise StateError(
            f"the next server CA is known since {made:%Y-%m-%d} only (trust bundle {version}): a device that has not"
            f" asked its gateway since then would refuse every gateway. Wait until {made + LEARN:%Y-%m-%d} and see that"
            " all devices have been there, or give ca_rollover_force=true if the others may be lost"
        )


def _made(directory: Path, name: str) -> datetime:
    paths = [directory / name / file for file in (CERTIFICATE, CERTIFICATE_OUTGOING, CERTIFICATE_INCOMING)]
    return min(compat.not_before(load_certificate(path)) for path in paths if path.exists()) + BACKDATE


MOVES: Mapping[str, Move] = {SWITCH: _switch_server, RETIRE: _retire_server}
