"""A controller's backup: everything that a site is on its controller, in one file that a passphrase opens.

    FILE      a tar file, encrypted in the age format: `age -d FILE | tar x` opens it without Fleetmint
      state/…          the state: CAs, certificates, batches, backups of gateways, and ledger.sqlite as SQLite's backup
                       API copies it from under a bench that burns
      inventory/…      the inventory, without the state where that lies in it
      ca/… passphrases/…   these, where they lie in neither
      MANIFEST.json    at the end: what is in it, with hashes and modes, and where it was

The password of Ansible Vault is never in it. What keeps others from reading passphrases in a running site keeps them
from it here: the files that Ansible Vault encrypts stay encrypted. site/restore.py goes on with one.
"""

import hashlib
import json
import os
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from fleetmint import __version__, commands, files, notices, staging
from fleetmint.commands import LEDGER
from fleetmint.documents.times import time_text
from fleetmint.errors import FleetmintError, StateError
from fleetmint.ledger.copies import copy
from fleetmint.passphrases.source import Stored
from fleetmint.site import age
from fleetmint.site.state import FILE, Site

FORMAT = "fleetmint site backup 1"
MANIFEST = "MANIFEST.json"
INVENTORY, STATE, CAS, PASSPHRASES = "inventory", "state", "ca", "passphrases"
# A ledger's companions, whose content is in its copy.
_OF_LEDGER = tuple(LEDGER + suffix for suffix in ("", "-wal", "-shm", "-journal"))
_TOGETHER = (
    f"{INVENTORY}/",
    f"{CAS}/",
    f"{PASSPHRASES}/",
    *(f"{STATE}/{each}/" for each in (CAS, PASSPHRASES, "issued", "batches")),
)
# Where Ansible is told the file of the vault's password.
_VAULT_VARIABLES = ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST")
_CHUNK, _BLOCK = 1 << 20, tarfile.BLOCKSIZE
_TRIES = 3


@dataclass(frozen=True)
class Written:
    """What was written: how many files with how many bytes in them, and the bytes of the backup."""

    path: str
    site: str
    made: str
    files: int
    bytes: int


class _ChangedError(StateError):
    """Something of the site was changed while it was read."""


@dataclass(frozen=True)
class _Entry:
    """Something to be kept: its name in the archive, and the file, directory or link that it is."""

    name: str
    path: Path
    status: os.stat_result
    link: str = ""


@dataclass
class _Record:
    """What has gone into the archive so far."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes: int = 0


def places(site: Site) -> dict[str, Path]:
    """Return the directories that make the site, by their names in a backup; none lies in one that comes before it.

    Raises StateError when there is no inventory: without it a site cannot be restored.
    """
    inventory = site.inventory
    if inventory is None:
        raise StateError(f"there is no inventory beside {site.directory}: without it the site could not be restored")
    if inventory.resolve().is_relative_to(site.directory.resolve()):
        raise StateError(
            f"the inventory {inventory} lies in the state {site.directory}: keep them apart, and try again"
        )
    source = site.source()
    wanted = {INVENTORY: inventory, STATE: site.directory, CAS: site.ca_directory}
    if isinstance(source, Stored):
        wanted[PASSPHRASES] = source.directory
    found: dict[str, Path] = {}
    for name, path in wanted.items():
        place = path.resolve()
        if name == STATE or not any(place.is_relative_to(each) for each in found.values()):
            found[name] = place
    return found


def write_backup(
    site: Site,
    path: Path,
    passphrase: str,
    now: datetime,
    *,
    progress: Callable[[int, int], None] = lambda _files, _bytes: None,
    work_factor: int = age.WORK_FACTOR,
) -> Written:
    """Write the backup to `path`, a new file, or leave nothing there; `progress` is told files and bytes so far.

    Raises StateError when something is missing, cannot be read, or does not hold still.
    """
    found = places(site)
    if any(path.resolve().is_relative_to(each) for each in found.values()):
        raise StateError(f"{path} lies in the site itself, and would be lost with it: name a file on another disk")
    if path.exists():
        raise StateError(f"{path} is there already, and may be the last good backup: name a new file")
    _say_what_is_elsewhere(site)
    for left in reversed(range(_TRIES)):
        try:
            record = _Record()
            parts = _archive(site, found, record, now, progress)
            files.write_atomically(path, age.encrypt(passphrase, parts, work_factor=work_factor))
            return Written(str(path), site.name, time_text(now), len(record.rows), path.stat().st_size)
        except _ChangedError:
            if not left:
                raise
    raise AssertionError


def _archive(
    site: Site, found: Mapping[str, Path], record: _Record, now: datetime, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    # the ledger first: what a bench makes meanwhile is in the files at most, and no batch is in the ledger alone
    with _ledger(site) as ledger:
        before = _entries(found)
        if ledger is not None:
            yield from _member(_Entry(f"{STATE}/{LEDGER}", ledger, ledger.stat()), record)
        for entry in before:
            yield from _member(entry, record)
            progress(len(record.rows), record.bytes)
        if _as_seen(before) != _as_seen(_entries(found)):
            raise _ChangedError(
                f"the site was changed while it was copied, {_TRIES} times: copy it when no play or command works on it"
            )
    manifest = {
        "format": FORMAT,
        "fleetmint": __version__,
        "site": site.name,
        "made": time_text(now),
        "places": {name: str(path) for name, path in found.items()},
        "entries": record.rows,
    }
    data = json.dumps(manifest, indent=1).encode() + b"\n"
    yield _header(MANIFEST, len(data), files.PRIVATE_FILE, now.timestamp()) + data + bytes(-len(data) % _BLOCK)
    yield bytes(2 * _BLOCK)


@contextmanager
def _ledger(site: Site) -> Iterator[Path | None]:
    """Give a copy of the factory's ledger, if it is in the state."""
    path = site.directory / LEDGER
    if not path.exists():
        yield None
        return
    with staging.workspace("site-backup") as directory:
        try:
            copy(path, directory / LEDGER)
        except sqlite3.Error as error:
            raise StateError(
                f"the ledger {path} cannot be copied ({error}): {commands.fleetmint('audit')} says more"
            ) from error
        yield directory / LEDGER


def _entries(found: Mapping[str, Path]) -> list[_Entry]:
    """Return everything to keep, directories before what is in them, without the ledger."""
    return [entry for name, place in found.items() for entry in _walk(name, place, found, _vault_passwords())]


def _walk(name: str, place: Path, found: Mapping[str, Path], passwords: list[os.stat_result]) -> Iterator[_Entry]:
    yield _Entry(name, place, place.stat())
    others = {path for other, path in found.items() if other != name}
    for top, directories, names in os.walk(place, onerror=_cannot_read):
        here = Path(top)
        kept = []
        for each in sorted(directories):
            path = here / each
            if path in others or (name == INVENTORY and (path / FILE).exists()):
                continue  # a place of its own, or the state of another site
            entry = _entry(name, place, path, found)
            if entry is not None:
                yield entry
                if not entry.link:
                    kept.append(each)
        directories[:] = kept
        skipped = set(_OF_LEDGER) if _is_state(name, here, place) else set()
        for each in sorted(set(names) - skipped - {path.name for path in staging.leftovers(here)}):
            entry = _entry(name, place, here / each, found)
            if entry is None:
                continue
            if any(os.path.samestat(entry.status, password) for password in passwords):
                notices.add(f"{entry.path} is the password of Ansible Vault and is left out: keep it somewhere else")
                continue
            yield entry


def _is_state(name: str, here: Path, place: Path) -> bool:
    """Whether `here` is the directory of the state itself, in which the ledger lies."""
    return name == STATE and here == place


def _entry(name: str, place: Path, path: Path, found: Mapping[str, Path]) -> _Entry | None:
    """Return what is at `path`; None for sockets and the like, which are of the processes that have them."""
    status = path.lstat()
    target = path.resolve()
    if stat.S_ISLNK(status.st_mode):
        if any(target.is_relative_to(each) for each in found.values()):
            return _Entry(f"{name}/{path.relative_to(place)}", path, status, str(path.readlink()))
        if not target.exists():
            notices.add(f"{path} is a link to {target}, which is not there: it is left out")
            return None
        if target.is_dir():
            raise StateError(
                f"{path} is a link to {target}, which is not of the site: put the files here, or unlink it"
            )
        status = target.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return _Entry(f"{name}/{path.relative_to(place)}", path, status)


def _as_seen(entries: list[_Entry]) -> dict[str, tuple[int, int, int]]:
    """Return what must not change meanwhile, since it belongs together. Logs and what is seen of gateways may grow."""
    return {
        each.name: (each.status.st_ino, each.status.st_size, each.status.st_mtime_ns)
        for each in entries
        if each.name.startswith(_TOGETHER) and not stat.S_ISDIR(each.status.st_mode)
    }


def _member(entry: _Entry, record: _Record) -> Iterator[bytes]:
    """Yield one entry of the tar file, and note it."""
    mode = stat.S_IMODE(entry.status.st_mode)
    if entry.link:
        record.rows[entry.name] = {"link": entry.link}
        yield _header(entry.name, 0, mode, entry.status.st_mtime, tarfile.SYMTYPE, entry.link)
        return
    if stat.S_ISDIR(entry.status.st_mode):
        record.rows[entry.name] = {"mode": mode}
        yield _header(entry.name, 0, mode, entry.status.st_mtime, tarfile.DIRTYPE)
        return
    digest = hashlib.sha256()
    try:
        with entry.path.open("rb") as file:
            now = os.fstat(file.fileno())  # it may have been replaced since it was listed
            mode, left = stat.S_IMODE(now.st_mode), now.st_size
            yield _header(entry.name, now.st_size, mode, now.st_mtime)
            while left and (data := file.read(min(_CHUNK, left))):
                left -= len(data)
                digest.update(data)
                yield data
    except FileNotFoundError as error:
        raise _ChangedError(f"{entry.path} was removed while it was copied: end what works on the site") from error
    except OSError as error:
        _cannot_read(error)
    if left:
        raise _ChangedError(f"{entry.path} became shorter while it was copied: end what writes to it")
    yield bytes(-now.st_size % _BLOCK)
    record.rows[entry.name] = {"mode": mode, "size": now.st_size, "sha256": digest.hexdigest()}
    record.bytes += now.st_size


def _header(name: str, size: int, mode: int, mtime: float, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime, member.type, member.linkname = size, mode, int(mtime), kind, link
    return member.tobuf(tarfile.PAX_FORMAT)


def _cannot_read(error: OSError) -> NoReturn:
    raise StateError(f"cannot read {error.filename}: {error.strerror}; nothing was written") from error


def _vault_passwords() -> list[os.stat_result]:
    """Return the files that Ansible is told to read the vault's password from."""
    found = []
    for variable in _VAULT_VARIABLES:
        for each in os.environ.get(variable, "").split(","):
            path = Path(each.rpartition("@")[2]).expanduser()
            if each and path.is_file():
                found.append(path.stat())
    return found


def _say_what_is_elsewhere(site: Site) -> None:
    if site.given_ledger and site.given_ledger != commands.ledger_in(site.directory):
        notices.add(f"the factory's ledger is elsewhere ({site.given_ledger}) and not in this backup: copy it, too")
    try:
        medium = site.root_directory
    except FleetmintError:
        medium = None
    if medium is not None:
        notices.add(f"the root's key is on a medium of its own ({medium}) and not in this backup: copy that, too")
