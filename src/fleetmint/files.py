"""The one place that writes to disk: whole files, atomically, with their final mode from the first byte on."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fleetmint import modes, notices, staging, trouble
from fleetmint.errors import StateError

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
PUBLIC_FILE = 0o644
# Twice the largest flash of an ESP32, and far more than any list or certificate.
LARGEST_FOREIGN = 64 << 20
_CHUNK = 1 << 20


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
            raise StateError(
                f"cannot make the directory {directory}: {error.strerror}; {trouble.remedy(error, directory.parent)}"
            ) from error
    return made


def write_atomically(
    path: Path, data: bytes | Iterable[bytes], mode: int = PRIVATE_FILE, owner: tuple[int, int] | None = None
) -> None:
    """Replace the file at `path` by `data`, whole or in parts, or leave it as it was; `owner` is uid and gid.

    Raises StateError when the directory is missing or the disk is full; nothing half-written stays behind.
    """
    with _staged(path, data, mode, owner) as staged:
        _rename(staged, path)
    _sync_dir(path.parent, path)


def link_atomically(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target`, in place of what it was; raise StateError as write_atomically does."""
    staged = path.with_name(f".{path.name}.link")
    try:
        staged.unlink(missing_ok=True)
        staged.symlink_to(target)
    except OSError as error:
        raise _failed(path, error) from error
    _rename(staged, path)
    _sync_dir(path.parent, path)


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
        raise StateError(
            f"cannot append to {path}: {error.strerror}; what it had before is untouched; {trouble.remedy(error, path)}"
        ) from error


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
        raise StateError(
            f"cannot destroy {path}: {error.strerror}; it may be there still: {trouble.remedy(error, path)}"
        ) from error
    _sync_dir(path.parent, path)


def remove(path: Path) -> None:
    """Remove the file at `path`, if it is there; raise StateError when that is refused."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"cannot remove {path}: {error.strerror}; {trouble.remedy(error, path)}") from error


def write_together(contents: Sequence[File]) -> None:
    """Write several files and the private directories they need, in this order, or leave all of them as they were.

    Everything is on the disk under other names before the first file gets its own, so a disk that fills up changes
    nothing; only a machine that stops between two renames leaves the first ones. Raises StateError.
    """
    made: list[Path] = []
    with contextlib.ExitStack() as stack:
        try:
            staged = []
            for content in contents:
                made += make_private_dir(content.path.parent)
                staged.append((stack.enter_context(_staged(*content)), content.path))
        except StateError:
            stack.close()
            _remove_dirs(made)
            raise
        for temporary, path in staged:
            _rename(temporary, path)
    for directory, path in {path.parent: path for _, path in staged}.items():
        _sync_dir(directory, path)


def read(path: Path, what: str) -> bytes:
    """Return the content of `path`; `what` names it in the StateError raised when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, what, error) from error


def read_foreign(path: Path, what: str) -> bytes:
    """Return the content of a file that people name, which may be any: a disk's image, a device without an end.

    Raises StateError as `read` does, and when there is more of it than of anything that this package reads.
    """
    content = bytearray()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                content += chunk
                if len(content) > LARGEST_FOREIGN:
                    raise StateError(
                        f"{what} {path} has more than {LARGEST_FOREIGN >> 20} MiB, which nothing has that is read here:"
                        " correct the path"
                    )
    except OSError as error:
        raise _unreadable(path, what, error) from error
    return bytes(content)


def read_private(path: Path, what: str, *, refuse: bool = False) -> bytes:
    """Return the content of a file that nobody else may read; when others can, say so, or `refuse` with a StateError.

    What is no regular file, such as a pipe, is read as it is.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and (problem := modes.problem(path, status)):
                if refuse:
                    raise StateError(f"{what} is not used: {problem}")
                notices.add(problem)
            return file.read()
    except OSError as error:
        raise _unreadable(path, what, error) from error


def read_checked(path: Path, what: str, *, limit: int, below: Path | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes, which somebody else may have put there.

    No symbolic link is followed at its end nor, when it lies `below` a directory that is somebody else's, on the way
    there; nothing is waited for. `what` names it in the StateError raised for all that is no such file.
    """
    try:
        handle = _open_checked(path, below)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise StateError(
                f"{what} {path} is a symbolic link, or lies behind one, and is not followed: remove the link"
            ) from error
        if error.errno == errno.ENXIO:  # a socket
            raise StateError(f"{what} {path} is no regular file: remove it") from error
        raise _unreadable(path, what, error) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise StateError(f"{what} {path} is no regular file: remove it")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    finally:
        os.close(handle)
    if len(data) > limit:
        raise StateError(f"{what} {path} has more than {limit} bytes, which none of ours has: remove it")
    return data


def _open_checked(path: Path, below: Path | None) -> int:
    base = below if below is not None and path.is_relative_to(below) else path.parent
    *places, name = path.relative_to(base).parts
    if ".." in places:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    directory = os.open(base, os.O_PATH | os.O_DIRECTORY)
    try:
        for place in places:
            inner = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _staged(
    path: Path, data: bytes | Iterable[bytes], mode: int, owner: tuple[int, int] | None = None
) -> Iterator[Path]:
    """Write to a new file beside the final one, down to the disk; gone at the end unless it was renamed."""
    with contextlib.ExitStack() as stack:
        try:
            handle, staged = stack.enter_context(staging.part(path))
            _set_mode(handle, path, mode)
            if owner is not None:
                os.fchown(handle, *owner)
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.writelines((data,) if isinstance(data, bytes) else data)
                file.flush()
                os.fsync(handle)
        except OSError as error:
            raise _failed(path, error) from error
        yield staged


def _set_mode(handle: int, path: Path, mode: int) -> None:
    """Give a new file its mode; raise StateError where none can be given and others could read what they must not."""
    with contextlib.suppress(OSError):  # FAT has none: what matters is who may read it now
        os.fchmod(handle, mode)
    if os.fstat(handle).st_mode & ~mode & modes.OTHERS:
        raise StateError(f"cannot write {path} so that nobody else can read it: {modes.explain(path)}")


def _rename(staged: Path, path: Path) -> None:
    try:
        staged.replace(path)
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: Path, error: OSError) -> StateError:
    return StateError(
        f"cannot write {path}: {error.strerror}; the old content is untouched; {trouble.remedy(error, path.parent)}"
    )


def _unreadable(path: Path, what: str, error: OSError) -> StateError:
    return StateError(f"cannot read {what} {path}: {error.strerror}; {trouble.remedy(error, path)}")


def _sync_dir(directory: Path, path: Path) -> None:
    """Bring the renaming of `path` in its directory down to the disk: it has to survive a power cut."""
    try:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a file system that has no such thing as a directory on a disk
            return
        raise StateError(
            f"{path} is written, but the directory {directory} may not be on the disk, and a power cut could undo it:"
            f" {error.strerror}; {trouble.remedy(error, directory)}"
        ) from error


def _remove_dirs(paths: Sequence[Path]) -> None:
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            path.rmdir()
