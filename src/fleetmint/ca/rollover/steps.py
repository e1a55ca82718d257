"""What the moves of all kinds share: what is to be replaced, when that is refused, how a CA changes its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca import generations
from fleetmint.ca.generations import CERTIFICATE_INCOMING, INCOMING, OUTGOING, RETIRED, ROOT
from fleetmint.ca.hierarchy import Hierarchy, device_ca, fingerprint, title
from fleetmint.commands import Command
from fleetmint.errors import StateError
from fleetmint.x509.authority import CERTIFICATE, load_certificate

DEVICE, SERVER = "device", "server"
KINDS = (DEVICE, SERVER, ROOT)
INTRODUCE, SWITCH, LEAVE, RETIRE = "introduce", "switch", "leave", "retire"

# One thing to do: why, and how.
Step = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Rollover:
    """What is to be replaced.

    `issued` is the directory of the gateways' certificates; `force` skips the waiting; `ceremony`: the root's key is on
    a machine of its own, which never comes here.
    """

    hierarchy: Hierarchy
    kind: str
    gateways: Sequence[str]
    issued: Path
    force: bool = False
    ceremony: bool = False

    @property
    def directory(self) -> Path:
        """Return the directory of the CAs."""
        return self.hierarchy.directory

    @property
    def authorities(self) -> list[str]:
        """Return the names of the CAs that are replaced."""
        return [device_ca(gateway) for gateway in self.gateways] if self.kind == DEVICE else [self.kind]


# What a move has to do at a time: nothing when it was made before. Raises StateError when it must not be made.
Move = Callable[[Rollover, datetime], list[Step]]


def run(kind: str, step: str = "") -> Command:
    """Return the command that goes on with a rollover of this kind, or makes one step of it."""
    if step:
        return commands.playbook("ca_rollover.yml", ca_rollover=kind, ca_rollover_step=step)
    return commands.playbook("ca_rollover.yml", ca_rollover=kind)


def certified(directory: Path) -> list[str]:
    """Return the CAs that a root certifies."""
    return [name for name in generations.authorities(directory) if generations.base(name) != ROOT]


def half_switched(directory: Path) -> bool:
    """Whether a new root waits, or its switch was cut in the middle."""
    return (directory / INCOMING / ROOT).exists() or any(
        (directory / name / CERTIFICATE_INCOMING).exists() for name in certified(directory)
    )


def need(rollover: Rollover, name: str) -> None:
    """Raise StateError unless there is a CA called `name` to be replaced, or already put aside."""
    path = rollover.directory / name / CERTIFICATE
    old = generations.generations(rollover.directory, name, [OUTGOING])
    if not path.exists() and not old:
        raise StateError(f"there is no {path}, so there is nothing to replace: run {commands.playbook('ca.yml')} first")


def need_root(rollover: Rollover, what: str) -> None:
    """Raise StateError, saying what to plug in, unless the key of the root in use is there to do `what`."""
    refuse_ceremony(rollover)
    rollover.hierarchy.need_root(what)


def refuse_ceremony(rollover: Rollover) -> None:
    """Raise StateError when the root's key never comes here."""
    if rollover.ceremony:
        raise StateError(
            "a rollover needs the root's key at this controller, and this site's root was made in a ceremony: it cannot"
            " be asked for a second CA of one name yet (docs/rollover.md)"
        )


def refuse_before_switch(rollover: Rollover, name: str) -> None:
    """Raise StateError when the new CA called `name` waits, so that the old one is still the one in use."""
    if generations.generations(rollover.directory, name, [INCOMING]):
        raise StateError(
            f"the new {title(name)} is not in service yet, so the old one cannot be retired: first run"
            f" {run(ROOT, SWITCH) if name == ROOT else run(DEVICE if name.startswith(DEVICE) else name)}"
        )


def refuse_while_new_root_waits(rollover: Rollover) -> None:
    """Raise StateError when a new root waits: it has certified the CAs that there were."""
    if half_switched(rollover.directory):
        raise StateError(
            f"a new root waits, which would not have certified a new CA: bring it into service first with"
            f" {run(ROOT, SWITCH)}"
        )


def advance(directory: Path, name: str, new: str) -> None:
    """Put the CA in use aside and the new one in its place; cut between the two, a second call does the rest."""
    if (directory / name).exists():
        rename(directory / name, directory / OUTGOING / name)
    rename(directory / new, directory / name)


def put_away(rollover: Rollover, old: Sequence[str]) -> list[Step]:
    """Return the steps that retire those of the CAs called `old` that are there, key and all."""
    directory = rollover.directory
    steps: list[Step] = []
    for name in old:
        path = directory / name / CERTIFICATE
        if not path.exists():
            continue
        target = directory / RETIRED / f"{generations.base(name)}.{short(load_certificate(path))}"
        steps.append((f"retire the old {title(name)}", partial(rename, path.parent, target)))
    return steps


def rename(source: Path, target: Path) -> None:
    """Move a file or directory, in one step, into a directory that only its owner can enter."""
    files.make_private_dir(target.parent)
    try:
        source.rename(target)
    except OSError as error:
        raise StateError(f"cannot move {source} to {target}: {error.strerror}; run this again") from error


def short(certificate: x509.Certificate) -> str:
    """Return by what a retired CA is told from others of its name: 16 hexadecimal digits of its SHA-256."""
    return fingerprint(certificate).replace(":", "").lower()[:16]
