"""Looking for what must not be seen: in files, and in the arguments and environments of all processes."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

INTERVAL = 0.05


@contextmanager
def watched(places: Iterable[Path], canaries: Iterable[bytes]) -> Iterator[set[str]]:
    """Look again and again while the block runs, and once at its end; yield the places where a canary was seen."""
    seen: set[str] = set()
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(tuple(places), tuple(canaries), seen, over))
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _watch(places: tuple[Path, ...], canaries: tuple[bytes, ...], seen: set[str], over: threading.Event) -> None:
    while True:
        last = over.is_set()
        files = [path for place in places for path in place.rglob("*")]
        for process in Path("/proc").glob("[0-9]*"):
            if process.name != str(os.getpid()):
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
