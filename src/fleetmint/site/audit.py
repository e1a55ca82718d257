"""The promises of the controller's state: keys in their places, batch files and gateways as the ledger says."""

import json
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetmint import commands
from fleetmint.batch.sealed import KEY_FILE
from fleetmint.batch.secrets import SECRETS_FILE, SETTINGS_FILE
from fleetmint.ca import damage
from fleetmint.commands import LEDGER
from fleetmint.ledger.factory import Unit
from fleetmint.ledger.findings import Finding
from fleetmint.ledger.schema import ACTIVE, BURNED, DEVICE_KEY, PLANNED, RETURNED, REVOKED
from fleetmint.site.state import Site
from fleetmint.x509.authority import KEY

# A key in PEM has less than 3 kB; what is larger (firmware, ledgers, images of boards) is not read.
_LARGEST_KEY = 65536
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = b"BEGIN ENCRYPTED PRIVATE KEY-----"
# SSH has keys of its own, which are no business of ours.
_FOREIGN = b"BEGIN OPENSSH PRIVATE KEY-----"
_PRIVATE_NAMES = {SECRETS_FILE, SETTINGS_FILE, KEY_FILE, LEDGER, f"{LEDGER}-wal"}
_PRIVATE_SUFFIXES = {".key", ".p12"}
# The heading there.
LOST_LEDGER = "`The factory's ledger, lost or older`"


def key_findings(site: Site) -> list[Finding]:
    """Return private keys outside their place, CA keys that are not encrypted, and secrets that others may read.

    The CAs are looked at where they are; the medium of the root's key is not, which often knows no modes.
    """
    found = []
    for directory in (site.directory, site.ca_directory, site.issued, site.batches, site.passphrases):
        if directory.is_dir() and _others_may(directory):
            found.append(Finding(f"others may look into {directory}", f"chmod 700 {directory}"))
    cas = site.ca_directory.resolve()
    in_state = [path for path in site.directory.rglob("*") if not path.resolve().is_relative_to(cas)]
    for path in sorted([*in_state, *site.ca_directory.rglob("*")]):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            found += _of_file(site, path)
        except OSError as error:
            found.append(
                Finding(f"{path} cannot be looked at ({error.strerror})", "run this as the owner of the state")
            )
    return found


def authority_findings(site: Site) -> list[Finding]:
    """Return the files of the CAs that are damaged, and passphrases that are empty."""
    root = None if site.root_directory is None else site.root_directory / KEY
    found = [
        Finding(what, remedy or "restore it from the backup of the CA (docs/recovery.md)")
        for what, _, remedy in (text.partition(": ") for text in damage.of_authorities(site.ca_directory, root))
    ]
    found += [
        Finding(f"{path} is empty", "restore it from the backup of the CA (docs/recovery.md)")
        for path in sorted(site.passphrases.glob("*"))
        if path.is_file() and path.stat().st_size == 0
    ]
    return found


def batch_findings(site: Site, units: Iterable[Unit]) -> list[Finding]:
    """Return where the files of the batches and the ledger speak of different devices.

    A batch without files here is none: several stations may share a ledger.
    """
    known: dict[str, dict[str, str]] = {}
    for unit in units:
        known.setdefault(unit.batch, {})[unit.device] = unit.key_origin
    found = []
    for path in site.registrations():
        try:
            document = json.loads(path.read_bytes())
            listed = {
                entry["device"]: "factory" if "certificate" in entry else "device" for entry in document["devices"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            found.append(Finding(f"{path} is damaged", "make the batch again with the same file: it writes it anew"))
            continue
        rows = known.get(path.parent.name, {})
        if listed != rows:
            odd = min(name for name in listed.keys() | rows.keys() if listed.get(name) != rows.get(name))
            found.append(
                Finding(
                    f"the files of the batch {path.parent.name} and the ledger differ in {odd}",
                    "make the batch again with the same file, which completes what was cut or says what to restore",
                )
            )
    return found


def gateway_findings(
    units: Sequence[Unit], rows: Iterable[Mapping[str, Any]], machines: Collection[str] = ()
) -> list[Finding]:
    """Return where a gateway knows less or something else than the ledger says of these units.

    `rows` are what the gateway lists: device, batch, status and, once handed over, mac. `machines` are batches of Linux
    machines, which enrol without having been burned.
    """
    there = {row["device"]: row for row in rows}
    found = []
    for unit in units:
        row = there.pop(unit.device, None)
        register = str(commands.fleetmint("batch", "register", unit.batch))
        handover = str(commands.fleetmint("batch", "handover", unit.batch))
        if row is None:
            if unit.registered_at is not None:
                found.append(Finding(f"{unit.device} was registered, and the gateway does not know it", register))
        elif unit.state == RETURNED and row["status"] != REVOKED:
            found.append(Finding(f"{unit.device} was returned, and the gateway still lets it in", handover))
        elif unit.state == PLANNED and (
            row.get("mac") or (row["status"] == ACTIVE and unit.key_origin == DEVICE_KEY and unit.batch not in machines)
        ):
            what = row.get("mac") or "a board that has enrolled"
            found.append(
                Finding(
                    f"{unit.device} is free in the ledger, and the gateway has it as {what}: the ledger is an older"
                    " copy, and would give this identity out twice",
                    f"stop burning, and restore a later backup; without one: docs/recovery.md, {LOST_LEDGER}",
                )
            )
        elif unit.state == BURNED and row.get("mac") != unit.mac:
            found.append(
                Finding(
                    f"{unit.device} is the board {unit.mac}, and the gateway says {row.get('mac') or 'none'}", handover
                )
            )
    batches = {unit.batch for unit in units}
    found += [
        Finding(f"the gateway knows {name} of {row['batch']}, and the factory's ledger does not", "restore its backup")
        for name, row in there.items()
        if row["batch"] in batches
    ]
    return found


def _of_file(site: Site, path: Path) -> list[Finding]:
    found = []
    holds_key = False
    if path.stat().st_size <= _LARGEST_KEY:
        data = path.read_bytes()
        holds_key = _KEY in data and _FOREIGN not in data
        if holds_key:
            found += _of_key(site, path, data)
    private = path.name in _PRIVATE_NAMES or path.suffix in _PRIVATE_SUFFIXES or path.is_relative_to(site.passphrases)
    if (holds_key or private) and _others_may(path):
        found.append(Finding(f"others may read {path}", f"chmod 600 {path}, and think about who could have read it"))
    return found


def _of_key(site: Site, path: Path, data: bytes) -> list[Finding]:
    if path.is_relative_to(site.ca_directory) and path.suffix == ".key":
        if _ENCRYPTED in data:
            return []
        return [Finding(f"the key of a CA in {path} is not encrypted", "treat it as stolen: docs/recovery.md")]
    if (path.is_relative_to(site.operators) or path.parent == site.services) and path.suffix == ".key":
        return []
    return [
        Finding(
            f"there is a private key in {path}, where none belongs",
            "find out whose it is, delete it, and revoke its certificate if others could have read it",
        )
    ]


def _others_may(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
