"""Looking for what must not be seen: in files, and in the arguments and environments of the processes of a test."""

import ctypes
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

INTERVAL = 0.05
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextmanager
def watched(places: Iterable[Path], canaries: Iterable[bytes]) -> Iterator[set[str]]:
    """Look again and again while the block runs, and once at its end; yield the places where a canary was seen.

    A place is a file, or a directory with everything below it. The processes are those that this one started and what
    they started, with those whose parent has ended: other tests run beside, and may have the same canaries.
    """
    seen: set[str] = set()
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(tuple(places), tuple(canaries), seen, over))
    # whose parent ends becomes our child then, not the first process's
    _become_subreaper(True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        _become_subreaper(False)


def shared_memory() -> list[Path]:
    """Return the files in shared memory; not its directories, which may be those of test runs."""
    return [path for path in Path("/dev/shm").iterdir() if not path.is_dir()]  # noqa: S108 - looked at, not written to


def _watch(places: tuple[Path, ...], canaries: tuple[bytes, ...], seen: set[str], over: threading.Event) -> None:
    while True:
        last = over.is_set()
        files = [path for place in places for path in (place, *place.rglob("*"))]
        files += shared_memory()
        for process in _descendants(os.getpid()):
            files += [process / "cmdline", process / "environ"]
        for path in files:
            try:
                content = path.read_bytes()
            except OSError:
                continue  # it has ended, is a directory, or is somebody else's
            if any(canary in content for canary in canaries):
                seen.add(str(path))
        if last:
            return
        over.wait(INTERVAL)


def _descendants(ancestor: int) -> Iterator[Path]:
    children = defaultdict(list)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # the name before it, in brackets, may hold anything
            parent = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:
            continue
        children[int(parent)].append(process)
    waiting = children[ancestor]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children[int(process.name)]


def _become_subreaper(yes: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
