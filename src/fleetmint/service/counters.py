"""Numbers that all processes of the service count in, so that whichever is asked tells the sum.

Each process has a file of its own in one directory, in memory on a gateway, and maps it: a worker that is started again
goes on with the file of the one before it, and all begin at nothing when the service does. A record is the name of a
number and the number, of 64 bits, which one process alone writes, under a lock of its threads.
Their number is limited, so nobody can fill memory by asking for what does not exist.

Debian's python3-prometheus-client could do that too, with a file for each process that ever was, for 5 MB and 40 ms in
each of them; what is left to do without it is this file and exposition.py.
"""

import mmap
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME, _NUMBER = 120, 8
_RECORD = _NAME + _NUMBER
_RECORDS = 1024
_SIZE = _RECORD * _RECORDS
# What is true only while the process is there: not gone on with by the next one.
GAUGE = "gauge:"
PID, STARTED = f"{GAUGE}pid", f"{GAUGE}started"
# Requests whose body comes, that were given to the service and are not answered yet, and that it works on.
READING, PASSED_ON, WORKING = f"{GAUGE}reading", f"{GAUGE}passed on", f"{GAUGE}working"
ISSUED, REFUSED = "issued|", "refused|"


def issued(kind: str) -> str:
    """Return the name for the certificates of a kind that were signed and stored."""
    return f"{ISSUED}{kind}"


def refused(code: str) -> str:
    """Return the name for the refusals with a code, of which there are as many as the service knows."""
    return f"{REFUSED}{code}"


class Counters:
    """The numbers of this process, in the file `name` of `directory`; without a directory in its memory only.

    A file that cannot be used is no reason not to serve: then they are in memory, too.
    """

    def __init__(self, directory: Path | None = None, name: str = "service") -> None:
        self._directory, self._name = directory, name
        self._lock = threading.Lock()
        self._map = _mapped(directory, name)
        self._numbers = memoryview(self._map).cast("Q")
        self._at: dict[str, int] = {}
        for number, key in enumerate(_keys(self._map)):
            self._at[key] = number
            if key.startswith(GAUGE):
                self._set(number, 0)
        self.set(PID, os.getpid())
        self.set(STARTED, int(time.time()))

    def add(self, key: str, amount: int = 1) -> None:
        """Count; beyond the limit of names nothing is counted."""
        with self._lock:
            at = self._find(key)
            if at is not None:
                self._set(at, max(0, self._get(at) + amount))

    def set(self, key: str, value: int) -> None:
        """Note a number as it is now."""
        with self._lock:
            at = self._find(key)
            if at is not None:
                self._set(at, value)

    @contextmanager
    def during(self, key: str) -> Iterator[None]:
        """Count one more while the block runs."""
        self.add(key)
        try:
            yield
        finally:
            self.add(key, -1)

    def total(self) -> Counter[str]:
        """Return the numbers of all processes together."""
        found: Counter[str] = Counter()
        for numbers in self.by_process().values():
            found.update(numbers)
        return found

    def by_process(self) -> dict[str, dict[str, int]]:
        """Return the numbers of each process by the name of its file, this one's first."""
        found = {self._name: _read(self._map)}
        if self._directory is not None:
            for path in sorted(self._directory.glob("*.counters")):
                if path.stem != self._name:
                    with suppress(OSError):
                        found[path.stem] = _read(path.read_bytes())
        return found

    def _find(self, key: str) -> int | None:
        at = self._at.get(key)
        if at is None and len(self._at) < _RECORDS:
            name = key.encode()[:_NAME]
            at = self._at[key] = len(self._at)
            begin = at * _RECORD
            # the first octet last: what begins with nothing is not there yet
            self._map[begin + 1 : begin + len(name)] = name[1:]
            self._map[begin : begin + 1] = name[:1]
        return at

    def _get(self, at: int) -> int:
        return self._numbers[(at * _RECORD + _NAME) // _NUMBER]

    def _set(self, at: int, value: int) -> None:
        # eight octets at an address that is a multiple of eight: a reader sees the one number or the other
        self._numbers[(at * _RECORD + _NAME) // _NUMBER] = value


def _mapped(directory: Path | None, name: str) -> mmap.mmap:
    if directory is not None:
        with suppress(OSError):
            directory.mkdir(mode=0o700, exist_ok=True)
            with (directory / f"{name}.counters").open("a+b") as file:
                file.truncate(_SIZE)
                return mmap.mmap(file.fileno(), _SIZE)
    return mmap.mmap(-1, _SIZE)


def _keys(data: mmap.mmap | bytes) -> Iterator[str]:
    for at in range(0, _SIZE, _RECORD):
        name = data[at : at + _NAME]
        if not name[0]:
            return
        yield name.rstrip(b"\0").decode(errors="replace")


def _read(data: mmap.mmap | bytes) -> dict[str, int]:
    if len(data) < _SIZE:
        return {}  # it is being made
    ends = range(_NAME, _SIZE, _RECORD)
    return {
        key: int.from_bytes(data[at : at + _NUMBER], sys.byteorder) for key, at in zip(_keys(data), ends, strict=False)
    }
