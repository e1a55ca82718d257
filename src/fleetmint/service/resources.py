"""What a worker process holds: opened when it is first needed, kept when that worked, tried again when it did not.

So a service that is started before its CA or its ledger is there answers 503 and heals, rather than not starting; and a
worker that was forked shares no database connection with its parent. CAs are read again when their files are other
ones: a new CA comes into service without a restart, in which requests would have to wait.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from cryptography import x509
from sqlalchemy.engine import Engine

from fleetmint.errors import StateError
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.config import Config
from fleetmint.ledger import open_ledger
from fleetmint.ledger.group import GroupWriter
from fleetmint.service import identity
from fleetmint.service.counters import Counters
from fleetmint.x509.authority import CERTIFICATE, Authority, load_certificates
from fleetmint.x509.listeners import DEVICE, LISTENERS, ROOT

_T = TypeVar("_T")
_Stamp = tuple[tuple[int, int, int], ...]


# Seconds for which files are taken for the same ones: each look gives the one lock of Python's threads away.
_LOOK_AGAIN = 0.1
# Seconds after which what could not be read is tried again: opening a key may start a process of root, for anybody.
_TRY_AGAIN = 1.0


class _Fresh(Generic[_T]):
    """What was read from some files, for as long as they are the same ones."""

    def __init__(self, paths: Callable[[], tuple[Path, ...]], read: Callable[[], _T]) -> None:
        self._paths = paths
        self._read = read
        self._held: tuple[_Stamp, _T] | None = None
        self._looked = float("-inf")
        self._failed: StateError | None = None
        self._reading = Lock()

    def get(self) -> _T:
        """Return it, read again when a file was replaced; raise StateError when nothing could be read yet.

        A key and its certificate are replaced one after the other: between the two, what was read before goes on.
        """
        held = self._held
        if held is not None and time.monotonic() < self._looked + _LOOK_AGAIN:
            return held[1]
        if not self._reading.acquire(blocking=held is None) and held is not None:
            return held[1]  # somebody else looks
        try:
            self._look()
        finally:
            self._reading.release()
        if self._held is None:
            raise StateError(str(self._failed)) from self._failed
        return self._held[1]

    def _look(self) -> None:
        if time.monotonic() < self._looked + (_TRY_AGAIN if self._held is None else _LOOK_AGAIN):
            return
        try:
            stamp = self._stamp()
            if self._held is None or self._held[0] != stamp:
                self._held = stamp, self._read()
            self._failed = None
        except StateError as error:
            self._failed = error
        self._looked = time.monotonic()

    def _stamp(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._paths()]
        except OSError as error:
            raise StateError(f"cannot read {error.filename}: {error.strerror}") from error
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)


class Resources:
    """The ledger, the device CA's key, the CAs of the listeners, and what is counted."""

    def __init__(self, config: Config, counters: Counters) -> None:
        self.config, self.counters = config, counters
        self._opening = Lock()
        self._ledger: GroupWriter | None = None
        place = config.device_ca
        self._authority = _Fresh(lambda: (place / CERTIFICATE, *keeping.files_of(place)), self._load_authority)
        self._issuers = {listener: _certificates(config, policy.issuers) for listener, policy in LISTENERS.items()}
        self._chain = _certificates(config, (ROOT, DEVICE))

    @property
    def ledger(self) -> GroupWriter:
        """The ledger, for what is written often."""
        with self._opening:
            if self._ledger is None:
                self._ledger = GroupWriter(open_ledger(self.config.ledger))
            return self._ledger

    @property
    def engine(self) -> Engine:
        """The ledger."""
        return self.ledger.engine

    def close(self) -> None:
        """Close the ledger, if it is open."""
        if self._ledger is not None:
            self._ledger.engine.dispose()

    @property
    def authority(self) -> Authority:
        """The device CA, whose key signs."""
        return self._authority.get()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The root, and the device CAs of now and before: what the certificates that are issued here are under."""
        return self._chain.get()

    def peer(self, listener: str, environ: Mapping[str, object]) -> identity.Peer:
        """Return the client of a request at this listener; raises as identity.peer does."""
        return identity.peer(environ, LISTENERS[listener], self._issuers[listener].get())

    def _load_authority(self) -> Authority:
        found = keeping.load(self.config, self.config.device_ca)
        if found.site != self.config.site:
            raise StateError(
                f"the CA in {self.config.device_ca} belongs to the site {found.site!r}: install this site's"
            )
        return found


def _certificates(config: Config, names: tuple[str, ...]) -> _Fresh[tuple[x509.Certificate, ...]]:
    paths = tuple(config.trusted(name) for name in names)
    return _Fresh(lambda: paths, lambda: tuple(found for path in paths for found in load_certificates(path)))
