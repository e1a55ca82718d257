"""A copy of a ledger that is a file, taken from under whoever is writing to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from fleetmint import files


def copy(source: Path, target: Path) -> None:
    """Copy the ledger `source` to `target`, a new file of this user's only, by SQLite's backup API; durable on return.

    Raises sqlite3.Error when it cannot be copied, and FileExistsError when there is something already.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, files.PRIVATE_FILE))
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            # one file, whatever the journal was: a backup is not written to
            new.execute("PRAGMA journal_mode=DELETE")
    except BaseException:
        target.unlink()
        raise
