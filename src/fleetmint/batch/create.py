"""Make a batch: an identity for each of its devices, kept for the bench, known to the ledger, and told to the gateway.

The secrets are written first, then the ledger, then the registration, so that a run that is cut off at any point finds
the same identities again and goes on. A batch can grow: what is new in its file is added behind what it has.
"""

import json
import secrets as random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from sqlalchemy.engine import Engine

from fleetmint import files, staging
from fleetmint.batch import sealed, secrets
from fleetmint.batch.common import Common, SiteValues, checked, site_common
from fleetmint.batch.encryption import new_flash_key, new_key
from fleetmint.batch.file_system import device_files
from fleetmint.batch.filenames import DESCRIPTION, REGISTRATION
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.secrets import BatchSecrets, Secret, Store
from fleetmint.batch.settings import DeviceOverride, Settings, settings_of
from fleetmint.batch.spec import LINUX, Batch, Site, Unit, read_batch
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.documents.registration import Policy, certificate_row, token_row, write_registration
from fleetmint.documents.token import TOKEN_BYTES
from fleetmint.errors import ImageError, NvsError, StateError
from fleetmint.flash.esp8266 import DEFAULT_LAYOUT, file_system_image
from fleetmint.flash.job import ESP8266
from fleetmint.flash.table import STOCK_LAYOUTS, stock
from fleetmint.ledger import create_schema, looking, open_ledger, writing
from fleetmint.ledger.factory import create_batch, key_origins, refuse_taken
from fleetmint.ledger.schema import DEVICE_KEY, FACTORY_KEY
from fleetmint.ledger.version import version_of
from fleetmint.nvs.encode import encode
from fleetmint.nvs.values import Entries
from fleetmint.plan import Plan
from fleetmint.x509 import keys
from fleetmint.x509.authority import Authority

DESCRIPTION_FORMAT = "fleetmint-batch-1"
# Where the table is not known before the bench: what does not fit into this one fits into none.
LARGEST_NVS = "4MiB"
# What takes most room of its kind: the names in a certificate are of limited length (x509/names.py).
_LARGEST_TOKEN = Secret(token="0" * 2 * TOKEN_BYTES)
_LARGEST_CERTIFICATE = Secret(key=bytes(121), certificate=bytes(768))
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class BatchLocation:
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


@dataclass(frozen=True)
class Created:
    """A batch: its name, its gateway, how many devices it has, and the file to register them with once it is made."""

    batch: str
    gateway: str
    devices: int
    registration: str | None = None


def plan_batch_file(
    path: Path,
    values: SiteValues,
    into: Path,
    ledger: str,
    hierarchy: Hierarchy,
    now: datetime,
    watch: Watch = lambda _done, _total: None,
) -> Plan[Created]:
    """Plan what the batch of the file at `path` lacks; its directory is below `into`. See plan_batch."""
    if not values.gateways:
        raise StateError("the site has no gateway that devices could belong to: name one in the inventory")
    batch = read_batch(path, _choices(values))
    gateway = batch.gateway or next(iter(values.gateways))
    common = site_common(hierarchy.directory, values.gateways[gateway].of_class(batch.tls), values.wifi)
    return plan_batch(batch, common, BatchLocation(into / batch.name, ledger, gateway), hierarchy, now, watch)


def foresee_batch_file(path: Path, values: SiteValues) -> Plan[Created]:
    """Plan a batch of which nothing is made yet, at a site whose CAs are not either; applying it is an error.

    It says what plan_batch_file will say, for a look ahead. Raises FleetmintError for what can be known to be refused.
    """
    if not values.gateways:
        raise StateError("the site has no gateway that devices could belong to: name one in the inventory")
    batch = read_batch(path, _choices(values))
    count, gateway = len(batch.units), batch.gateway or next(iter(values.gateways))

    def apply() -> Created:
        raise StateError("the CAs are not made yet")

    return Plan(
        (
            f"make {count} identities for {batch.name}",
            f"enter {count} devices of {batch.name} into the ledger",
            f"write the registration of {batch.name} for {gateway}",
        ),
        apply,
        after="".join(f"{unit.device} key_origin={unit.key_origin}\n" for unit in batch.units),
        expected=Created(batch.name, gateway, count),
    )


def _choices(values: SiteValues) -> Site:
    classes = {name: tuple(gateway.classes) for name, gateway in values.gateways.items()}
    return Site(list(values.gateways), list(values.wifi), classes)


def plan_batch(
    batch: Batch,
    common: Common,
    location: BatchLocation,
    hierarchy: Hierarchy,
    now: datetime,
    watch: Watch = lambda _done, _total: None,
) -> Plan[Created]:
    """Plan what a batch lacks; running it again changes nothing, and adds what is new in its file.

    What `common` says may change later: boards that are burnt from then on get the new values. `watch` is told from
    time to time how many of the new identities are made. Raises StateError for a batch that would lose devices or
    change what is made, and for one whose secrets are lost.
    """
    wanted = settings_of(batch, common)
    checked(wanted.common)
    made = (location.directory / sealed.KEY_FILE).exists()
    _refuse_shredded(batch, location)
    found = _Found(None, {}, _entered(batch, location), whole=True)
    if made:
        store = secrets.open_store(location.directory, hierarchy.source)
        with sealed.locked(location.directory, alone=False):
            found = _find(batch, store, location)
    _check(batch, found, location)

    reasons = []
    new = [unit for unit in batch.units if unit.device not in found.origins]
    if new:
        count = f"{len(new)} identities"
        reasons.append(f"add {count} to the batch {batch.name}" if found.origins else f"make {count} for {batch.name}")
    elif not found.whole:
        reasons.append(f"cut off what an interrupted run left behind the secrets of {batch.name}")
    if found.settings is not None and (changed := found.settings.changes(wanted)):
        reasons.append(f"what devices of {batch.name} get has changed: {', '.join(changed)}")
    if len(found.entered) < len(batch.units):
        reasons.append(f"enter {len(batch.units) - len(found.entered)} devices of {batch.name} into the ledger")
    registration, about = location.directory / REGISTRATION, location.directory / DESCRIPTION
    if new or not made or not _is(registration, _registration(batch, store, location)):
        reasons.append(f"write the registration of {batch.name} for {location.gateway}")
    elif not _is(about, iter((describe(batch, hierarchy.site, location),))):
        reasons.append(f"describe the batch {batch.name} anew")
    if reasons:
        _refuse_what_does_not_fit(batch, wanted, now)

    created = Created(batch.name, location.gateway, len(batch.units), str(registration))

    def apply() -> Created:
        _make(batch, wanted, location, hierarchy, now, watch)
        return created

    return Plan(
        tuple(reasons),
        apply if reasons else None,
        before="".join(f"{device} key_origin={origin}\n" for device, origin in found.origins.items()),
        after="".join(f"{unit.device} key_origin={unit.key_origin}\n" for unit in batch.units),
        expected=created,
    )


def _make(
    batch: Batch, wanted: Settings, location: BatchLocation, hierarchy: Hierarchy, now: datetime, watch: Watch
) -> None:
    """Do what is missing now, which another process may have changed since it was planned."""
    files.make_private_dir(location.directory)
    staging.look_below(location.directory.parent)  # what a killed run left of another batch would stay for good
    with sealed.locked(location.directory, alone=True):
        _refuse_shredded(batch, location)
        store = _open_or_make(location.directory, hierarchy)
        found = _find(batch, store, location)
        _check(batch, found, location)
        if found.settings != wanted:
            store.save_settings(wanted)
        new = [unit for unit in batch.units if unit.device not in found.origins]
        if new or not found.whole:
            file = store.secrets()
            for _ in file.read():  # to where its good part ends
                pass
            file.append(_new_secrets(batch, new, hierarchy, now, watch))
        if len(found.entered) < len(batch.units):
            with _ledger(location, hierarchy.site) as engine, writing(engine) as connection:
                create_batch(
                    connection,
                    batch.name,
                    {unit.device: unit.key_origin for unit in batch.units},
                    product=batch.product,
                    hardware=batch.hardware,
                    serials={unit.device: unit.serial for unit in batch.units},
                    now=now,
                )
        files.write_atomically(location.directory / REGISTRATION, _registration(batch, store, location))
        files.write_atomically(location.directory / DESCRIPTION, describe(batch, hierarchy.site, location))


def describe(batch: Batch, site: str, location: BatchLocation) -> bytes:
    """Return what anybody may know of a batch, JSON: what it is, whose it is, and nothing about single devices."""
    content = {
        "format": DESCRIPTION_FORMAT,
        "site": site,
        "batch": batch.name,
        "gateway": location.gateway,
        "chip": batch.chip,
        "layout": batch.layout,
        "product": batch.product,
        "hardware": batch.hardware,
        **({} if batch.tls is None else {"tls": batch.tls}),
        "devices": len(batch.units),
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _open_or_make(directory: Path, hierarchy: Hierarchy) -> Store:
    if (directory / sealed.KEY_FILE).exists():
        return secrets.open_store(directory, hierarchy.source)
    return Store(directory, sealed.make_key(directory, hierarchy.site, hierarchy.source))


def _find(batch: Batch, store: Store, location: BatchLocation) -> _Found:
    file = store.secrets()
    origins = {device: DEVICE_KEY if secret.token else FACTORY_KEY for device, secret in file.read()}
    return _Found(store.settings(), origins, _entered(batch, location), file.whole)


def _check(batch: Batch, found: _Found, location: BatchLocation) -> None:
    """Raise StateError when what was made is not what the batch file describes, or not there any more."""
    if lost := next((device for device in found.entered if device not in found.origins), None):
        raise StateError(
            f"the ledger knows {lost} of the batch {batch.name}, but {location.directory / secrets.SECRETS_FILE} does"
            " not: it is damaged or an older copy; restore it, with the other files beside it, from the latest backup"
        )
    unknown = found.origins.keys() - found.entered.keys()
    if unknown and (forgotten := unknown & _registered(location)):
        raise StateError(
            f"the ledger does not know {min(forgotten)} of the batch {batch.name}, which was entered before: it is lost"
            " or an older copy, and would give identities out twice. Restore the latest backup, or follow"
            " docs/recovery.md"
        )
    planned = {unit.device: unit.key_origin for unit in batch.units}
    other = next((device for device, origin in found.origins.items() if planned.get(device) != origin), None)
    what = ""
    if other is not None:
        what = f"another key_origin of {other}" if other in planned else f"a device {other}"
    elif found.settings is not None:
        made = (found.settings.chip, found.settings.nvs_encryption)
        what = "another chip or NVS encryption" if made != (batch.chip, batch.nvs_encryption) else ""
        for name in ("identity", "flash_encryption"):
            if not what and getattr(found.settings, name) != getattr(batch, name):
                what = f"{name}: {getattr(found.settings, name)}"
    if what:
        raise StateError(
            f"the batch {batch.name} was made with {what}: what is made stays, and a batch can only grow; undo the"
            " change in the batch file, or give the new batch another name and other ids"
        )


def _registered(location: BatchLocation) -> set[str]:
    """Return the devices of the registration, which is written when all of them are in the ledger."""
    try:
        document = json.loads((location.directory / REGISTRATION).read_bytes())
        return {entry["device"] for entry in document["devices"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # missing or damaged: it is written anew


def _new_secrets(
    batch: Batch, units: Sequence[Unit], hierarchy: Hierarchy, now: datetime, watch: Watch
) -> Iterator[tuple[str, Secret]]:
    factory = hierarchy.authority("factory") if any(unit.key_origin == FACTORY_KEY for unit in units) else None
    expires = (now + batch.token_lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    for done, unit in enumerate(units, 1):
        secret = _secret(unit, factory, expires, now)
        nvs, flash = new_key(batch.nvs_encryption), new_flash_key(batch.flash_encryption)
        yield unit.device, replace(secret, nvs_key=nvs, flash_key=flash)
        if done % secrets.CHUNK == 0 or done == len(units):
            watch(done, len(units))


def _secret(unit: Unit, factory: Authority | None, expires: str, now: datetime) -> Secret:
    if factory is None or unit.key_origin == DEVICE_KEY:
        return Secret(token=random.token_hex(TOKEN_BYTES), token_expires=expires)
    key = keys.new_key()
    certificate = factory.issue("factory-device", key.public_key(), unit.device, now=now)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Secret(key=keys.device_der(key), certificate=der)


def _entered(batch: Batch, location: BatchLocation) -> Mapping[str, str]:
    """Return device → key origin of what the ledger knows of the batch; StateError when an id is another batch's."""
    if location.ledger.startswith("sqlite:///") and not Path(location.ledger.removeprefix("sqlite:///")).exists():
        return {}
    with looking(location.ledger) as connection:
        if not version_of(connection):
            return {}
        found = key_origins(connection, batch.name)
        refuse_taken(connection, [unit.device for unit in batch.units if unit.device not in found])
        return found


@contextmanager
def _ledger(location: BatchLocation, site: str) -> Iterator[Engine]:
    engine = open_ledger(location.ledger, create=True, bench=True)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        create_schema(engine, site=site, owner="factory")
        yield engine


def _registration(batch: Batch, store: Store, location: BatchLocation) -> Iterator[bytes]:
    rows = (_row(device, secret) for device, secret in store.secrets().read())
    policy = Policy(batch.approval, batch.token_binding)
    return write_registration(store.key.site, location.gateway, batch.name, rows, policy)


def _row(device: str, secret: Secret) -> Mapping[str, str]:
    if secret.token is not None and secret.token_expires is not None:
        return token_row(device, secret.token, secret.token_expires)
    return certificate_row(device, secret.certificate or b"")


def _is(path: Path, content: Iterator[bytes]) -> bool:
    """Whether the file at `path` has this content."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return all(file.read(len(part)) == part for part in content) and not file.read(1)


def _refuse_shredded(batch: Batch, location: BatchLocation) -> None:
    path = location.directory / DESCRIPTION
    if path.exists() and not (location.directory / sealed.KEY_FILE).exists():
        raise StateError(
            f"the batch {batch.name} was shredded, or the key in {location.directory} is lost: its boards that are"
            " burnt work on, the others cannot be burnt any more; give what you make now another name and other ids, or"
            " restore the key from a backup"
        )


def _refuse_what_does_not_fit(batch: Batch, wanted: Settings, now: datetime) -> None:
    """Raise StateError for a device whose values do not fit into its NVS or file system, as large as they can be."""
    if batch.chip == LINUX:
        return
    longest: dict[tuple[str, DeviceOverride], str] = {}
    for unit in batch.units:
        alike = (unit.key_origin, wanted.own.get(unit.device, DeviceOverride()))
        longest[alike] = max(longest.get(alike, ""), unit.device, key=len)
    for (origin, _), device in longest.items():
        secret = _LARGEST_TOKEN if origin == DEVICE_KEY else _LARGEST_CERTIFICATE
        try:
            _try_out(wanted, nvs_entries(device, BatchSecrets(wanted, {device: secret}), now))
        except (NvsError, ImageError) as error:
            raise StateError(f"{device} of the batch {batch.name} cannot be made: {error}") from error


def _try_out(wanted: Settings, entries: Entries) -> None:
    if wanted.chip == ESP8266:
        file_system_image(device_files(entries), wanted.layout or DEFAULT_LAYOUT)
    else:
        layout = wanted.layout if wanted.layout in STOCK_LAYOUTS else LARGEST_NVS
        encode(entries, stock(layout).find("nvs").size)
