"""What the factory tells the gateway of a batch: before burning which devices there are, after it what became of them.

The documents are the same whichever way they go: over SSH, to the operators' listener, or as a signed file.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleetmint import commands, files
from fleetmint.batch.filenames import REGISTRATION
from fleetmint.documents.handover import RESULTS, Entry, write_handover
from fleetmint.errors import StateError
from fleetmint.ledger import looking, open_factory_ledger, writing
from fleetmint.ledger.factory import Unit, list_units, mark_registered
from fleetmint.plan import Plan


def read_registration(directory: Path) -> Mapping[str, Any]:
    """Return the registration document of the batch in `directory`; raise StateError when it is missing or damaged."""
    path = directory / REGISTRATION
    try:
        document = json.loads(files.read(path, "registration of the batch"))
        if not {"format", "site", "gateway", "batch"} <= document.keys() or not isinstance(document["devices"], list):
            raise ValueError("not a registration")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is damaged: make the batch again with the same file, which writes it anew") from error
    return dict(document)


def handover_document(directory: Path, ledger: str) -> Mapping[str, Any]:
    """Return the handover document of a batch: the units that reached a board, as the `ledger` (a URL) has them."""
    header = read_registration(directory)
    units = _units(ledger, str(header["batch"]))
    return write_handover(header, [_entry(unit) for unit in units if unit.state in RESULTS])


@dataclass(frozen=True)
class Registered:
    """The batch whose devices a gateway knows."""

    batch: str


def plan_registered(
    directory: Path, ledger: str, *, skipped: Collection[str], actor: str, now: datetime
) -> Plan[Registered]:
    """Plan to record that the gateway knows the devices of a batch, except those it `skipped`.

    A device that was skipped has been revoked, has another token by now, or brought a token that has expired: the
    identity of this batch is worth nothing there, so it stays unregistered unless it was registered before.
    """
    document = read_registration(directory)
    batch = str(document["batch"])
    wanted = {str(entry["device"]) for entry in document["devices"]} - set(skipped)
    news = [unit.device for unit in _units(ledger, batch) if unit.registered_at is None and unit.device in wanted]

    registered = Registered(batch)

    def record() -> Registered:
        engine = open_factory_ledger(ledger)
        try:
            with writing(engine) as connection:
                mark_registered(connection, batch, wanted, actor=actor, now=now)
        finally:
            engine.dispose()
        return registered

    if not news:
        return Plan(expected=registered)
    reason = f"{len(news)} devices of {batch} are registered with {document['gateway']} from now on"
    return Plan((reason,), record, after=f"{reason}\n", expected=registered)


def _units(ledger: str, batch: str) -> Sequence[Unit]:
    with looking(ledger) as connection:
        return list_units(connection, batch)


def _entry(unit: Unit) -> Entry:
    if unit.mac is None or unit.finished_at is None:
        raise StateError(
            f"{unit.device} is {unit.state} without board or time: {commands.fleetmint('audit')} says what to do"
        )
    return Entry(unit.device, unit.state, unit.mac, unit.finished_at)
