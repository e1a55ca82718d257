"""What the moves of all kinds share: what is to be replaced, when that is refused, how a CA changes its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509

from fleetmint import commands
from fleetmint.ca import identifier
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId, Kind, Phase
from fleetmint.ca.local_root import LocalRoot
from fleetmint.ca.signer import Signer
from fleetmint.ca.store import CaStore
from fleetmint.commands import Command
from fleetmint.errors import StateError

KINDS = (Kind.DEVICE, Kind.OPERATOR, Kind.FACTORY, Kind.SERVER, Kind.ROOT)
INTRODUCE, SWITCH, LEAVE, RETIRE = "introduce", "switch", "leave", "retire"

# One thing to do: why, and how.
Step = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Leaf:
    """A certificate in use, and whose it is."""

    name: str
    certificate: x509.Certificate


@dataclass(frozen=True)
class Rollover:
    """What is to be replaced.

    `issued` is the directory of the gateways' certificates; `force` skips the waiting; `signer` has the root's key;
    `leaves` are the certificates that the controller knows of, by which it is told whether an old CA is still needed.
    """

    hierarchy: Hierarchy
    kind: Kind
    gateways: Sequence[str]
    issued: Path
    force: bool = False
    signer: Signer = field(default_factory=LocalRoot)
    leaves: Sequence[Leaf] = ()

    @property
    def store(self) -> CaStore:
        """The files of the CAs."""
        return self.hierarchy.store

    @property
    def authorities(self) -> list[CaId]:
        """The CAs that are replaced."""
        if self.kind is Kind.DEVICE:
            return [identifier.device_ca(gateway) for gateway in self.gateways]
        return [CaId(self.kind)]


# What a move has to do at a time: nothing when it was made before. Raises StateError when it must not be made.
Move = Callable[[Rollover, datetime], list[Step]]


def run(kind: Kind, step: str = "") -> Command:
    """Return the command that goes on with a rollover of this kind, or makes one step of it."""
    if step:
        return commands.playbook("ca_rollover.yml", ca_rollover=kind.value, ca_rollover_step=step)
    return commands.playbook("ca_rollover.yml", ca_rollover=kind.value)


def half_switched(store: CaStore) -> bool:
    """Whether a new root waits, or its switch was cut in the middle."""
    return store.place(ROOT.at(Phase.PENDING)).exists() or any(
        store.certificate_path(ca, Phase.PENDING).exists() for ca in store.issuing()
    )


def need(rollover: Rollover, ca: CaId) -> None:
    """Raise StateError unless there is such a CA to be replaced, or already put aside."""
    store = rollover.store
    if not store.exists(ca) and not store.generations(ca, [Phase.PREVIOUS]):
        raise StateError(
            f"there is no {store.certificate_path(ca)}, so there is nothing to replace: run"
            f" {commands.playbook('ca.yml')} first"
        )


def need_root(rollover: Rollover, what: str) -> None:
    """Raise StateError, saying what to plug in, unless the root in use can be reached to do `what`."""
    if rollover.signer.makes:  # one elsewhere is asked in files
        rollover.hierarchy.need_root(what)


def refuse_ceremony(rollover: Rollover) -> None:
    """Raise StateError when the root's key never comes here."""
    if not rollover.signer.makes:
        raise StateError(
            "this site's root was made in a ceremony, and a second root cannot be brought in beside it yet: every other"
            " CA can be replaced (docs/rollover.md)"
        )


def refuse_before_switch(rollover: Rollover, ca: CaId) -> None:
    """Raise StateError when a new CA of this name waits, so that the old one is still the one in use."""
    if rollover.store.generations(ca, [Phase.PENDING]):
        raise StateError(
            f"the new {ca.title} is not in service yet, so the old one cannot be retired: first run"
            f" {run(ca.kind, SWITCH if ca.is_root else '')}"
        )


def refuse_while_new_root_waits(rollover: Rollover) -> None:
    """Raise StateError when a new root waits: it has certified the CAs that there were."""
    if half_switched(rollover.store):
        raise StateError(
            f"a new root waits, which would not have certified a new CA: bring it into service first with"
            f" {run(Kind.ROOT, SWITCH)}"
        )


def put_away(rollover: Rollover, old: Sequence[CaId]) -> list[Step]:
    """Return the steps that retire those of the CAs `old` that are there, key and all."""
    store = rollover.store
    return [(f"retire the old {ca.title}", partial(store.retire, ca)) for ca in old if store.exists(ca)]
