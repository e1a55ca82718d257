"""The one place that writes to disk: whole files, atomically, with their final mode from the first byte on."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fleetmint.errors import StateError

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
PUBLIC_FILE = 0o644


class File(NamedTuple):
    """A file to be written: where, what, and its mode."""

    path: Path
    data: bytes
    mode: int = PRIVATE_FILE


def make_private_dir(path: Path) -> list[Path]:
    """Create `path` and its missing parents, each readable by its owner only; return those that were created.

    Raises StateError when one cannot be created; those above it that were are removed again.
    """
    made: list[Path] = []
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for directory in reversed(missing):
        try:
            directory.mkdir(mode=PRIVATE_DIR)
            made.append(directory)
        except FileExistsError:
            continue  # somebody else was faster
        except OSError as error:
            _remove_dirs(made)
            raise StateError(f"cannot make the directory {directory}: {error.strerror}") from error
    return made


def write_atomically(path: Path, data: bytes | Iterable[bytes], mode: int = PRIVATE_FILE) -> None:
    """Replace the file at `path` by `data`, whole or in parts, or leave it as it was.

    Raises StateError when the directory is missing or the disk is full; nothing half-written stays behind.
    """
    staged = _stage(path, data, mode)
    try:
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise _failed(path, error) from error
    _sync_dir(path.parent)


def append(path: Path, at: int, contents: Iterable[bytes]) -> None:
    """Write `contents` to the file at `path` from the offset `at` on, cutting off what is behind; durable on return.

    Raises StateError when the disk is full. What was appended until then, or until whoever makes the contents fails,
    stays.
    """
    try:
        with path.open("r+b") as file:
            file.truncate(at)
            file.seek(at)
            for content in contents:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StateError(f"cannot append to {path}: {error.strerror}; what it had before is untouched") from error


def destroy(path: Path) -> None:
    """Overwrite the file at `path` with noise and remove it; raise StateError when that is refused.

    On flash media and copy-on-write file systems the old blocks may stay where they were.
    """
    try:
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise StateError(f"cannot destroy {path}: {error.strerror}") from error
    _sync_dir(path.parent)


def write_together(contents: Sequence[File]) -> None:
    """Write several files and the private directories they need, in this order, or leave all of them as they were.

    Everything is on the disk under other names before the first file gets its own, so a disk that fills up changes
    nothing; only a machine that stops between two renames leaves the first ones. Raises StateError.
    """
    made: list[Path] = []
    staged: list[tuple[Path, Path]] = []
    try:
        for content in contents:
            made += make_private_dir(content.path.parent)
            staged.append((_stage(*content), content.path))
    except StateError:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        _remove_dirs(made)
        raise
    for temporary, path in staged:
        try:
            temporary.replace(path)
        except OSError as error:
            for left, _ in staged:
                left.unlink(missing_ok=True)
            raise _failed(path, error) from error
    for directory in {path.parent for _, path in staged}:
        _sync_dir(directory)


def read(path: Path, what: str) -> bytes:
    """Return the content of `path`; `what` names it in the StateError raised when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"cannot read {what} {path}: {error.strerror}") from error


def _stage(path: Path, data: bytes | Iterable[bytes], mode: int) -> Path:
    """Write to a new file beside the final one, down to the disk."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:  # who makes the parts can fail, too
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _failed(path, error) from error
        raise
    return Path(name)


def _failed(path: Path, error: OSError) -> StateError:
    return StateError(f"cannot write {path}: {error.strerror}; the old content is untouched")


def _sync_dir(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself must survive a power cut
    finally:
        os.close(directory)


def _remove_dirs(paths: Sequence[Path]) -> None:
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            path.rmdir()
