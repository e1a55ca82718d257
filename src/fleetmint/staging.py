"""What exists for the length of a run only: files that are not whole yet, and directories to work in.

A run that is killed cannot clean up. So each of these has a lock as long as its run is alive, and the next run that
writes there removes what nobody holds any more. The lock ends with its process, however that ends.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# Between them mkstemp puts eight letters; nobody else has files of such a name.
_SUFFIX = ".fleetmint-part"
_NAME = re.compile(r"\..+\.[a-z0-9_]{8}" + re.escape(_SUFFIX))
_WORKSPACE = "fleetmint-"


@contextlib.contextmanager
def part(path: Path) -> Iterator[tuple[int, Path]]:
    """Give a new empty file beside `path`, to be filled and renamed to it: its handle and its path.

    What is not renamed is gone at the end. Raises OSError.
    """
    look(path.parent)
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        if _hold(handle, wait=True):
            break
        os.close(handle)  # another run took it for a dead one's before it was held
    try:
        yield handle, Path(name)
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def workspace(purpose: str) -> Iterator[Path]:
    """Give a private directory that is gone at the end, and when the run is killed, at the beginning of the next one.

    Raises OSError.
    """
    _clear_workspaces(f"{_WORKSPACE}{purpose}-")
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{_WORKSPACE}{purpose}-"))
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # another run took it for a dead one's before it was held
        if _hold(handle, wait=True):
            break
        os.close(handle)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def look(directory: Path) -> None:
    """Remove what killed runs left in `directory`."""
    for path in leftovers(directory):
        _remove(path)


def look_below(directory: Path) -> None:
    """Remove what killed runs left in `directory` and everywhere below it."""
    for place, _, _ in os.walk(directory):
        look(Path(place))


def leftovers(directory: Path) -> list[Path]:
    """Return the files that are not whole in `directory`, of runs that are alive, too."""
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name))
    except OSError:
        return []


def abandoned(paths: Iterable[Path]) -> list[Path]:
    """Return those of `paths` that belong to no run any more."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError), _opened(path) as handle:
            if _hold(handle, wait=False):
                found.append(path)
    return found


def _remove(path: Path) -> None:
    # what cannot be opened, locked or removed is somebody else's, and harms nobody
    with contextlib.suppress(OSError), _opened(path) as handle:
        if _hold(handle, wait=False):
            path.unlink()


def _clear_workspaces(prefix: str) -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(handle).st_uid == os.geteuid() and _hold(handle, wait=False):
                    shutil.rmtree(path)
            finally:
                os.close(handle)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # for writing, since a lock on NFS wants that
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError(path)
        yield handle
    finally:
        os.close(handle)


def _hold(handle: int, *, wait: bool) -> bool:
    """Lock `handle` until it is closed; False when somebody else holds it, or it was removed in the meantime."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait  # a file system without locks: then nothing is ever taken for left over
    return os.fstat(handle).st_nlink > 0
