"""What the factory tells the gateway of a batch: before burning which devices there are, after it what became of them.

The documents are the same whichever way they go: over SSH, to the operators' listener, or as a signed file.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleetmint import commands, files
from fleetmint.batch.filenames import REGISTRATION
from fleetmint.errors import StateError
from fleetmint.ledger import looking, open_factory_ledger, writing
from fleetmint.ledger.columns import time_text
from fleetmint.ledger.factory import Unit, list_units, mark_registered
from fleetmint.ledger.handover import FORMAT, RESULTS
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
    entries = [_entry(unit) for unit in _units(ledger, str(header["batch"])) if unit.state in RESULTS]
    return {**header, "format": FORMAT, "devices": entries}


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document as it travels."""
    return json.dumps(document, indent=1).encode() + b"\n"


def parts(document: Mapping[str, Any], largest: int) -> Iterator[bytes]:
    """Yield `document` as several of at most `largest` bytes each, for a listener that takes no more at once."""
    empty = len(json.dumps({**document, "devices": []}))
    part: list[Any] = []
    size = empty
    for entry in document["devices"]:
        more = len(json.dumps(entry)) + 2
        if part and size + more > largest:
            yield json.dumps({**document, "devices": part}).encode()
            part, size = [], empty
        part.append(entry)
        size += more
    yield json.dumps({**document, "devices": part}).encode()


@dataclass(frozen=True)
class Registered:
    """The batch whose devices a gateway knows."""

    batch: str


def plan_registered(
    directory: Path, ledger: str, *, kept: Collection[str], actor: str, now: datetime
) -> Plan[Registered]:
    """Plan to record that the gateway knows the devices of a batch, except those it has `kept` as they were.

    A device that was kept has been revoked, has another token by now, or brought a token that has expired: the identity
    of this batch is worth nothing there, so it stays unregistered unless it was registered before.
    """
    document = read_registration(directory)
    batch = str(document["batch"])
    wanted = {str(entry["device"]) for entry in document["devices"]} - set(kept)
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


def _entry(unit: Unit) -> dict[str, str]:
    if unit.mac is None or unit.finished_at is None:
        raise StateError(
            f"{unit.device} is {unit.state} without board or time: {commands.fleetmint('audit')} says what to do"
        )
    return {"device": unit.device, "result": unit.state, "mac": unit.mac, "at": time_text(unit.finished_at)}
