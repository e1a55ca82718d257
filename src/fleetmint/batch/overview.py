"""What anybody at the station may know of batches: states, boards, serials of certificates, and never a secret."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from fleetmint import commands, files
from fleetmint.batch import sealed
from fleetmint.batch.filenames import DESCRIPTION, REGISTRATION
from fleetmint.batch.spec import LINUX
from fleetmint.errors import StateError
from fleetmint.ledger import looking, open_factory_ledger, reading
from fleetmint.ledger.factory import Unit, counts, list_units
from fleetmint.x509.inspect import time_text

COLUMNS = (
    "device", "serial", "product", "hardware", "key_origin", "state", "mac",
    "certificate_serial", "token_expires", "registered_at", "finished_at", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Overview:
    """One batch: what batch.json says, whether its secrets are destroyed, and how many devices are in each state."""

    about: dict[str, Any]
    shredded: bool
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return it as one mapping."""
        return {**self.about, "shredded": self.shredded, "states": self.counts}


def overviews(batches: Path, ledger: str) -> list[Overview]:
    """Return the batches below the directory `batches`, by name."""
    found = sorted(path.parent for path in batches.glob(f"*/{DESCRIPTION}"))
    if not found:
        return []
    engine = open_factory_ledger(ledger)
    try:
        with reading(engine) as connection:
            return [
                Overview(
                    _json(path / DESCRIPTION), not (path / sealed.KEY_FILE).exists(), counts(connection, path.name)
                )
                for path in found
            ]
    finally:
        engine.dispose()


def is_of_machines(directory: Path) -> bool:
    """Whether the batch in `directory` is one of Linux machines, into which nothing is burned."""
    return bool(_json(directory / DESCRIPTION).get("chip") == LINUX)


def classes(batches: Path) -> dict[str, str | None]:
    """Return the class of each device of the batches below the directory `batches`; None where a batch names none."""
    found: dict[str, str | None] = {}
    for path in batches.glob(f"*/{DESCRIPTION}"):
        name = _json(path).get("tls")
        if (path.parent / REGISTRATION).exists():
            found |= {row["device"]: name for row in _json(path.parent / REGISTRATION)["devices"]}
    return found


def devices(directory: Path, ledger: str) -> Iterator[dict[str, str]]:
    """Yield a row of COLUMNS for each device of the batch in `directory`, in their order; empty is "".

    Raises StateError when there is no such batch.
    """
    if not (directory / DESCRIPTION).exists():
        raise StateError(f"there is no batch in {directory}: {commands.fleetmint('batch', 'list')} lists them")
    public = {row["device"]: row for row in _json(directory / REGISTRATION)["devices"]}
    with looking(ledger) as connection:
        units: Iterable[Unit] = list_units(connection, directory.name)
    for unit in units:
        yield _row(unit, public.get(unit.device, {}))


def _row(unit: Unit, public: dict[str, str]) -> dict[str, str]:
    serial = ""
    if "certificate" in public:
        leaf = x509.load_der_x509_certificate(base64.b64decode(public["certificate"]))
        serial = f"{leaf.serial_number:040x}"
    values = (
        unit.device, unit.serial, unit.product, unit.hardware, unit.key_origin, unit.state, unit.mac or "",
        serial, public.get("token_expires", ""),
        time_text(unit.registered_at) if unit.registered_at else "",
        time_text(unit.finished_at) if unit.finished_at else "",
        unit.reason or "",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(files.read(path, "description of the batch"))
        if isinstance(content, dict):
            return content
    except ValueError:
        pass
    raise StateError(f"{path} is damaged: {commands.playbook('factory.yml', batch='FILE')} writes it again")
