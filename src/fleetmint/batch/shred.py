"""Destroy the key of a batch: what was encrypted under it is gone for everybody, and the public part stays.

On flash media the old blocks may stay readable to whoever takes the chip apart: what they would find is the key of the
batch wrapped under the site's bench passphrase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from fleetmint import commands, files
from fleetmint.batch import sealed
from fleetmint.batch.filenames import DESCRIPTION
from fleetmint.batch.secrets import SECRETS_FILE, SETTINGS_FILE
from fleetmint.errors import StateError
from fleetmint.ledger import events, looking, open_factory_ledger, writing
from fleetmint.ledger import factory as ledger
from fleetmint.ledger.schema import CLAIMED, PLANNED, QUARANTINED
from fleetmint.ledger.schema import events as rows
from fleetmint.plan import Plan

SHREDDED = "shredded"
# The key first: without it the others are noise, whatever becomes of the run.
SECRET_FILES = (sealed.KEY_FILE, SECRETS_FILE, SETTINGS_FILE)


@dataclass(frozen=True)
class Shredded:
    """A batch without secrets; `left` is how many devices that were not burnt are in which state."""

    batch: str
    left: Mapping[str, int]


def plan_shred(directory: Path, ledger_url: str, now: datetime, *, unburnt: bool = False) -> Plan[Shredded]:
    """Plan to destroy the secrets of the batch in `directory`; nothing to do when that is done.

    Raises StateError for what is no batch, and, unless `unburnt`, when boards are not burnt: their identities could
    never be burnt any more. The ledger records it before anything is destroyed.
    """
    if not (directory / DESCRIPTION).exists() and not (directory / sealed.KEY_FILE).exists():
        raise StateError(f"there is no batch in {directory}: {commands.fleetmint('batch', 'list')} lists them")
    batch = directory.name
    with looking(ledger_url) as connection:
        counts = ledger.counts(connection, batch)
        recorded = connection.execute(
            select(rows.c.seq).where(rows.c.kind == SHREDDED, rows.c.subject == batch)
        ).first()
    left = {state: counts[state] for state in (PLANNED, CLAIMED, QUARANTINED) if counts[state]}
    shredded = Shredded(batch, left)
    there = [directory / name for name in SECRET_FILES if (directory / name).exists()]
    if not there:
        return Plan(expected=shredded)
    if left and not unburnt:
        told = ", ".join(f"{number} {state}" for state, number in left.items())
        raise StateError(
            f"{sum(left.values())} devices of {batch} are not burnt ({told}), and never could be after that: burn them"
            " first, or give --unburnt if they are not wanted any more"
        )

    def apply() -> Shredded:
        with sealed.locked(directory, alone=True):
            if not recorded:
                engine = open_factory_ledger(ledger_url)
                with writing(engine) as connection:
                    detail = {"unburnt": sum(left.values())}
                    events.append(connection, at=now, actor="factory", kind=SHREDDED, subject=batch, detail=detail)
                engine.dispose()
            for path in there:
                files.destroy(path)
        return shredded

    return Plan(
        (f"destroy the key and the secrets of the batch {batch}",),
        apply,
        before="".join(f"{path.name}\n" for path in there),
        expected=shredded,
    )
