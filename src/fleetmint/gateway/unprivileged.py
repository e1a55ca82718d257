"""What root does in the directory of the service, it does as the account of the service.

SQLite opens what it finds there by itself (the ledger, its journals), follows a link to the ledger, and waits for a
pipe. So root looks first, and then lets a child that has given root up do the reading, for a limited time.
"""

import json
import os
import select
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from fleetmint.errors import FleetmintError, LedgerError

_SECONDS = 30
_SUFFIXES = ("", "-wal", "-shm", "-journal")


def sqlite_path(url: str) -> Path | None:
    """Return the file of a ledger; None when it is in a database server."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def refuse_odd_ledger(path: Path) -> None:
    """Raise LedgerError when the ledger or a journal of it is there and no regular file."""
    for each in (path.with_name(path.name + suffix) for suffix in _SUFFIXES):
        try:
            found = each.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LedgerError(f"cannot look at the ledger {each}: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise LedgerError(
                f"the ledger {each} is no regular file (or a link to one): remove it, and restore a backup"
            )


def as_owner_of(directory: Path, work: Callable[[], Any], what: str) -> Any:
    """Return what `work` returns, which has to be plain data; when root calls, it runs as the owner of `directory`.

    Raises LedgerError, which names `what`, when it failed or takes too long.
    """
    owner = directory.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, owner, writer)
    os.close(writer)
    try:
        answer = json.loads(_received(reader))
    except ValueError as error:
        raise LedgerError(f"{what} could not be read within {_SECONDS} s: `journalctl` may say why") from error
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # harmless when it has ended: nobody has waited for it yet
        os.waitpid(child, 0)
    if "refused" in answer:
        raise LedgerError(str(answer["refused"]))
    return answer["done"]


def _work(work: Callable[[], Any], owner: os.stat_result, writer: int) -> None:
    """Do the work in a child, and end it without going back to what the parent was doing."""
    code = 1
    try:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        try:
            answer = {"done": work()}
        except FleetmintError as error:
            answer = {"refused": str(error)}
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


def _received(reader: int) -> bytes:
    received, end = b"", time.monotonic() + _SECONDS
    while select.select([reader], [], [], max(0, end - time.monotonic()))[0]:
        chunk = os.read(reader, 65536)
        if not chunk:
            break
        received += chunk
    return received
