"""The one place that writes to disk: whole files, atomically, with their final mode from the first byte on."""

import contextlib
import os
import tempfile
from pathlib import Path

from fleetmint.errors import StateError

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
PUBLIC_FILE = 0o644


def make_private_dir(path: Path) -> None:
    """Create `path` and its missing parents, each readable by its owner only."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=PRIVATE_DIR)


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace the file at `path` by `data`, or leave it as it was.

    Raises StateError when the directory is missing or the disk is full; nothing half-written stays behind.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise StateError(f"cannot write {path}: {error.strerror}; the old content is untouched") from error
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself must survive a power cut
    finally:
        os.close(directory)


def read(path: Path, what: str) -> bytes:
    """Return the content of `path`; `what` names it in the StateError raised when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"cannot read {what} {path}: {error.strerror}") from error
