"""Make a batch: an identity for each of its devices, kept for the bench, known to the ledger, and told to the gateway.

The secrets are written first, then the ledger, then the registration, so that a run that is cut off at any point finds
the same identities again and goes on. A batch can grow: what is new in its file is added behind what it has.
"""

import base64
import hashlib
import json
import secrets as random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from sqlalchemy.engine import Engine

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.factory import sealed, secrets
from fleetmint.factory.common import Common, checked
from fleetmint.factory.encryption import new_key
from fleetmint.factory.secrets import Secret, Settings, Store
from fleetmint.factory.spec import Batch, Unit
from fleetmint.ledger import create_schema, open_ledger, reading, writing
from fleetmint.ledger.factory import create_batch, key_origins, refuse_taken
from fleetmint.ledger.registration import FORMAT
from fleetmint.ledger.schema import DEVICE_KEY, FACTORY_KEY
from fleetmint.pki import keys
from fleetmint.pki.authority import Authority
from fleetmint.pki.hierarchy import Hierarchy
from fleetmint.plan import Plan

REGISTRATION = "registration.json"
TOKEN_BYTES = 16
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Place:
    """Where a batch is kept: `directory` for its files, `ledger` is an SQLAlchemy URL; `gateway` will know it."""

    directory: Path
    ledger: str
    gateway: str


@dataclass(frozen=True)
class _Found:
    """What there is of a batch: `origins` is device → key origin of every identity that was made."""

    settings: Settings | None
    origins: Mapping[str, str]
    entered: Mapping[str, str]
    whole: bool


def plan_batch(
    batch: Batch,
    common: Common,
    place: Place,
    hierarchy: Hierarchy,
    now: datetime,
    watch: Watch = lambda _done, _total: None,
) -> Plan:
    """Plan what a batch lacks; running it again changes nothing, and adds what is new in its file.

    What `common` says may change later: boards that are burnt from then on get the new values. `watch` is told from
    time to time how many of the new identities are made. Raises StateError for a batch that would lose devices or
    change what is made, and for one whose secrets are lost.
    """
    wanted = Settings(batch.chip, checked(common), batch.nvs_encryption)
    made = (place.directory / sealed.KEY_FILE).exists()
    found = _Found(None, {}, _entered(batch, place), whole=True)
    if made:
        store = secrets.open_store(place.directory, hierarchy.source)
        with sealed.locked(place.directory, alone=False):
            found = _find(batch, store, place)
    _check(batch, found, place)

    reasons = []
    new = [unit for unit in batch.units if unit.device not in found.origins]
    if new:
        count = f"{len(new)} identities"
        reasons.append(f"add {count} to the batch {batch.name}" if found.origins else f"make {count} for {batch.name}")
    elif not found.whole:
        reasons.append(f"cut off what an interrupted run left behind the secrets of {batch.name}")
    if found.settings is not None and found.settings != wanted:
        changed = ", ".join(_changed(found.settings.common, common))
        reasons.append(f"what all devices of {batch.name} get has changed: {changed}")
    if len(found.entered) < len(batch.units):
        reasons.append(f"enter {len(batch.units) - len(found.entered)} devices of {batch.name} into the ledger")
    registration = place.directory / REGISTRATION
    if new or not made or not _is(registration, _registration(batch, store, place)):
        reasons.append(f"write the registration of {batch.name} for {place.gateway}")

    def apply() -> None:
        _make(batch, wanted, place, hierarchy, now, watch)

    return Plan(
        tuple(reasons),
        apply if reasons else lambda: None,
        before="".join(f"{device} key_origin={origin}\n" for device, origin in found.origins.items()),
        after="".join(f"{unit.device} key_origin={unit.key_origin}\n" for unit in batch.units),
        facts={"batch": batch.name, "registration": str(registration), "devices": len(batch.units)},
    )


def _make(batch: Batch, wanted: Settings, place: Place, hierarchy: Hierarchy, now: datetime, watch: Watch) -> None:
    """Do what is missing now, which another process may have changed since it was planned."""
    files.make_private_dir(place.directory)
    with sealed.locked(place.directory, alone=True):
        store = _open_or_make(place.directory, hierarchy)
        found = _find(batch, store, place)
        _check(batch, found, place)
        if found.settings != wanted:
            store.save_settings(wanted)
        new = [unit for unit in batch.units if unit.device not in found.origins]
        if new or not found.whole:
            file = store.secrets()
            for _ in file.read():  # to where its good part ends
                pass
            file.append(_new_secrets(batch, new, hierarchy, now, watch))
        if len(found.entered) < len(batch.units):
            with _ledger(place, hierarchy.site) as engine, writing(engine) as connection:
                create_batch(connection, batch.name, {unit.device: unit.key_origin for unit in batch.units}, now=now)
        files.write_atomically(place.directory / REGISTRATION, _registration(batch, store, place))


def _open_or_make(directory: Path, hierarchy: Hierarchy) -> Store:
    if (directory / sealed.KEY_FILE).exists():
        return secrets.open_store(directory, hierarchy.source)
    return Store(directory, sealed.make_key(directory, hierarchy.site, hierarchy.source))


def _find(batch: Batch, store: Store, place: Place) -> _Found:
    file = store.secrets()
    origins = {device: DEVICE_KEY if secret.token else FACTORY_KEY for device, secret in file.read()}
    return _Found(store.settings(), origins, _entered(batch, place), file.whole)


def _check(batch: Batch, found: _Found, place: Place) -> None:
    """Raise StateError when what was made is not what the batch file describes, or not there any more."""
    if lost := next((device for device in found.entered if device not in found.origins), None):
        raise StateError(
            f"the ledger knows {lost} of the batch {batch.name}, but {place.directory / secrets.SECRETS_FILE} does not:"
            " it is damaged or an older copy; restore it, with the other files beside it, from the latest backup"
        )
    planned = {unit.device: unit.key_origin for unit in batch.units}
    other = next((device for device, origin in found.origins.items() if planned.get(device) != origin), None)
    fixed = found.settings is None or (found.settings.chip, found.settings.nvs_encryption) == (
        batch.chip,
        batch.nvs_encryption,
    )
    if other is not None or not fixed:
        what = (
            "another chip or NVS encryption"
            if other is None
            else f"another {other}"
            if other in planned
            else f"a device {other}"
        )
        raise StateError(
            f"the batch {batch.name} was made with {what}: what is made stays, and a batch can only grow; undo the"
            " change in the batch file, or give the new batch another name and other ids"
        )


def _new_secrets(
    batch: Batch, units: Sequence[Unit], hierarchy: Hierarchy, now: datetime, watch: Watch
) -> Iterator[tuple[str, Secret]]:
    factory = hierarchy.authority("factory") if any(unit.key_origin == FACTORY_KEY for unit in units) else None
    expires = (now + batch.token_lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    for done, unit in enumerate(units, 1):
        yield unit.device, replace(_secret(unit, factory, expires, now), nvs_key=new_key(batch.nvs_encryption))
        if done % secrets.CHUNK == 0 or done == len(units):
            watch(done, len(units))


def _secret(unit: Unit, factory: Authority | None, expires: str, now: datetime) -> Secret:
    if factory is None or unit.key_origin == DEVICE_KEY:
        return Secret(token=random.token_hex(TOKEN_BYTES), token_expires=expires)
    key = keys.new_key()
    certificate = factory.issue("factory-device", key.public_key(), unit.device, now=now)
    return Secret(key=keys.device_der(key), certificate=certificate.public_bytes(serialization.Encoding.DER))


def _entered(batch: Batch, place: Place) -> Mapping[str, str]:
    """Return device → key origin of what the ledger knows of the batch; StateError when an id is another batch's."""
    if place.ledger.startswith("sqlite:///") and not Path(place.ledger.removeprefix("sqlite:///")).exists():
        return {}
    engine = open_ledger(place.ledger)
    try:
        with reading(engine) as connection:
            found = key_origins(connection, batch.name)
            refuse_taken(connection, [unit.device for unit in batch.units if unit.device not in found])
            return found
    finally:
        engine.dispose()


@contextmanager
def _ledger(place: Place, site: str) -> Iterator[Engine]:
    engine = open_ledger(place.ledger, create=True)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        create_schema(engine, site=site, owner="factory")
        yield engine


def _registration(batch: Batch, store: Store, place: Place) -> Iterator[bytes]:
    """Yield the document that tells the gateway about the devices, a device at a time: it can be a large one."""
    head = {"format": FORMAT, "site": store.key.site, "gateway": place.gateway, "batch": batch.name}
    yield json.dumps(head, indent=1).removesuffix("\n}").encode() + b',\n "devices": ['
    separator = b"\n"
    for device, secret in store.secrets().read():
        yield separator + b"  " + json.dumps(_row(device, secret)).encode()
        separator = b",\n"
    yield b"\n ]\n}\n"


def _row(device: str, secret: Secret) -> Mapping[str, str]:
    if secret.token is not None and secret.token_expires is not None:
        digest = hashlib.sha256(secret.token.encode()).hexdigest()
        return {"device": device, "token_sha256": digest, "token_expires": secret.token_expires}
    return {"device": device, "certificate": base64.b64encode(secret.certificate or b"").decode()}


def _is(path: Path, content: Iterator[bytes]) -> bool:
    """Whether the file at `path` has this content."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return all(file.read(len(part)) == part for part in content) and not file.read(1)


def _changed(before: Common, after: Common) -> list[str]:
    return [name for name in Common.__dataclass_fields__ if getattr(before, name) != getattr(after, name)]
