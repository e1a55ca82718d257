"""A gateway's backup: what its ledger and its CRLs are at a time.

    backup.tar    ledger.sqlite     the ledger, as SQLite's backup API copies it from under a running service
                  head.json         the head of its chain of events, for whoever keeps the backup
                  device-crl.pem    the device CAs' CRLs, when there are any

It holds no key: tokens are hashes, and the device CA is on the controller. restore.py goes on with one.
"""

import io
import json
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from fleetmint import commands, files, staging
from fleetmint.errors import LedgerError, StateError
from fleetmint.gateway.config import Config
from fleetmint.ledger.copies import copy
from fleetmint.ledger.head import Head, head_of, read_head

LEDGER, HEAD, CRL = "ledger.sqlite", "head.json", "device-crl.pem"
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Content:
    """What a backup holds: the bytes of the ledger, the CRLs of that time, and the head, which older ones have not."""

    ledger: bytes
    crl: bytes | None
    head: Head | None = None


def make_backup(config: Config) -> bytes:
    """Return a backup of this gateway, a tar file; raise LedgerError or StateError when there is nothing to copy."""
    path = ledger_path(config)
    if not path.exists():
        raise LedgerError(f"there is no ledger {path}: nothing to copy")
    ledger, head = _copied(path)
    contents = {LEDGER: ledger, HEAD: json.dumps(head.values()).encode()}
    if config.device_crl.exists():
        contents[CRL] = files.read(config.device_crl, "CRL")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def read_backup(backup: bytes) -> Content:
    """Return what is in a backup; raise StateError when it is none."""
    if len(backup) > _MAX_BYTES:
        raise StateError("this is no backup of a gateway: it is too large")
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(backup), mode="r:") as archive:
            for name in (LEDGER, HEAD, CRL):
                if name in archive.getnames() and (member := archive.extractfile(name)) is not None:
                    found[name] = member.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StateError("this is no backup of a gateway, or it is damaged: bring another one") from error
    if LEDGER not in found:
        raise StateError(f"this is no backup of a gateway: there is no {LEDGER} in it")
    try:
        head = head_of(json.loads(found[HEAD])) if HEAD in found else None
    except ValueError as error:
        raise StateError(f"this is no backup of a gateway, or it is damaged: {HEAD} in it holds no head") from error
    return Content(found[LEDGER], found.get(CRL), head)


def ledger_path(config: Config) -> Path:
    """Return the file of the ledger; raise StateError when it is in a database server."""
    url = make_url(config.ledger)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise StateError(
            "this gateway's ledger is in a database server, which has tools of its own for that: pg_dump and pg_restore"
        )
    return Path(url.database)


def _copied(path: Path) -> tuple[bytes, Head]:
    with staging.workspace("backup") as directory:
        target = directory / LEDGER
        try:
            copy(path, target)
        except sqlite3.Error as error:
            raise LedgerError(
                f"the ledger {path} cannot be copied ({error}): run {commands.gateway('audit')}"
            ) from error
        return target.read_bytes(), _head(target)


def _head(path: Path) -> Head:
    """Return the head of the chain in a file that is not to be changed, as opening it for work would."""
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&immutable=1&uri=true", future=True)
    try:
        with engine.connect() as connection:
            return read_head(connection)
    except DBAPIError as error:
        raise LedgerError(f"the ledger has no events that can be read: run {commands.gateway('audit')}") from error
    finally:
        engine.dispose()
