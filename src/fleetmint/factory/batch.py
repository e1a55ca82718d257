"""Make a batch: an identity for each of its devices, kept for the bench, known to the ledger, and told to the gateway.

The secrets are written first and the ledger second, so that a run that is cut off finds the same identities again.
"""

import base64
import hashlib
import json
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.factory import secrets
from fleetmint.factory.common import Common, checked
from fleetmint.factory.secrets import BatchSecrets, Secret
from fleetmint.factory.spec import Batch, Unit
from fleetmint.ledger import create_schema, open_ledger, reading, writing
from fleetmint.ledger.factory import create_batch, list_units
from fleetmint.ledger.registration import FORMAT
from fleetmint.pki import keys
from fleetmint.pki.authority import Authority
from fleetmint.pki.hierarchy import Hierarchy
from fleetmint.plan import Plan

REGISTRATION = "registration.json"
TOKEN_BYTES = 16


@dataclass(frozen=True)
class Place:
    """Where a batch is kept: `directory` for its files, `ledger` is an SQLAlchemy URL; `gateway` will know it."""

    directory: Path
    ledger: str
    gateway: str


def plan_batch(batch: Batch, common: Common, place: Place, hierarchy: Hierarchy, now: datetime) -> Plan:
    """Plan what a batch lacks; running it again changes nothing.

    What `common` says may change later: boards that are burnt from then on get the new values.
    """
    known = secrets.load(place.directory) if (place.directory / secrets.FILE).exists() else None
    if known is not None:
        _refuse_another(batch, known)
    path = place.directory / REGISTRATION
    reasons, steps = [], []
    if known is None:
        reasons.append(f"make {len(batch.units)} identities for the batch {batch.name}")
        steps.append(lambda: _make_secrets(batch, checked(common), place, hierarchy, now))
    elif known.common != checked(common):
        reasons.append(f"what all devices of {batch.name} get has changed: {', '.join(_changed(known.common, common))}")
        steps.append(lambda: secrets.save(place.directory, replace(known, common=common)))
    if not _in_ledger(batch, place):
        reasons.append(f"enter the batch {batch.name} into the ledger")
        steps.append(lambda: _enter(batch, place, hierarchy.site, now))
    if known is None or not path.exists() or path.read_bytes() != _registration(batch, known, place, hierarchy.site):
        reasons.append(f"write the registration of {batch.name} for {place.gateway}")
        steps.append(lambda: _write_registration(batch, place, hierarchy.site))
    return Plan(
        tuple(reasons),
        lambda: _run(steps),
        before="" if known is None else _listing(batch),
        after=_listing(batch),
        facts={"batch": batch.name, "registration": str(path), "devices": len(batch.units)},
    )


def _refuse_another(batch: Batch, known: BatchSecrets) -> None:
    origins = {device: "device" if secret.token else "factory" for device, secret in known.devices.items()}
    if origins != {unit.device: unit.key_origin for unit in batch.units} or known.chip != batch.chip:
        raise StateError(
            f"the batch {batch.name} was made with other devices or another chip: what is made stays, so undo the"
            " change in the batch file, or give the new batch another name and prefix"
        )


def _make_secrets(batch: Batch, common: Common, place: Place, hierarchy: Hierarchy, now: datetime) -> None:
    factory = hierarchy.authority("factory") if any(unit.key_origin == "factory" for unit in batch.units) else None
    expires = (now + batch.token_lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    devices = {unit.device: _secret(unit, factory, expires, now) for unit in batch.units}
    secrets.save(place.directory, BatchSecrets(batch.chip, common, devices))


def _secret(unit: Unit, factory: Authority | None, expires: str, now: datetime) -> Secret:
    if factory is None or unit.key_origin == "device":
        return Secret(token=random.token_hex(TOKEN_BYTES), token_expires=expires)
    key = keys.new_key()
    certificate = factory.issue("factory-device", key.public_key(), unit.device, now=now)
    return Secret(key=keys.device_der(key), certificate=certificate.public_bytes(serialization.Encoding.DER))


def _in_ledger(batch: Batch, place: Place) -> bool:
    engine = _existing_ledger(place.ledger)
    if engine is None:
        return False
    with reading(engine) as connection:
        found = [unit.device for unit in list_units(connection, batch.name)]
    engine.dispose()
    return found == [unit.device for unit in batch.units]


def _existing_ledger(url: str) -> Any:
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    return open_ledger(url)


def _enter(batch: Batch, place: Place, site: str, now: datetime) -> None:
    engine = open_ledger(place.ledger, create=True)
    create_schema(engine, site=site, owner="factory")
    with writing(engine) as connection:
        create_batch(connection, batch.name, {unit.device: unit.key_origin for unit in batch.units}, now=now)
    engine.dispose()


def _registration(batch: Batch, known: BatchSecrets, place: Place, site: str) -> bytes:
    document = {
        "format": FORMAT,
        "site": site,
        "gateway": place.gateway,
        "batch": batch.name,
        "devices": [_row(unit.device, known.devices[unit.device]) for unit in batch.units],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _row(device: str, secret: Secret) -> Mapping[str, str]:
    if secret.token is not None and secret.token_expires is not None:
        digest = hashlib.sha256(secret.token.encode()).hexdigest()
        return {"device": device, "token_sha256": digest, "token_expires": secret.token_expires}
    return {"device": device, "certificate": base64.b64encode(secret.certificate or b"").decode()}


def _write_registration(batch: Batch, place: Place, site: str) -> None:
    document = _registration(batch, secrets.load(place.directory), place, site)
    files.write_atomically(place.directory / REGISTRATION, document)


def _changed(before: Common, after: Common) -> list[str]:
    return [name for name in Common.__dataclass_fields__ if getattr(before, name) != getattr(after, name)]


def _listing(batch: Batch) -> str:
    return "".join(f"{unit.device} key_origin={unit.key_origin}\n" for unit in batch.units)


def _run(steps: list[Callable[[], None]]) -> None:
    for step in steps:
        step()
