"""Whether this gateway could enrol a device now, and if not, why. Nothing is written, and no writer is waited for."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

from fleetmint import commands
from fleetmint.errors import ClockError, FleetmintError, LedgerError, StateError
from fleetmint.gateway import disk
from fleetmint.gateway.clock import kept, refuse_wrong_clock
from fleetmint.gateway.config import Config
from fleetmint.ledger import reading, version
from fleetmint.x509 import compat
from fleetmint.x509.authority import Authority

LEDGER, AUTHORITY, CLOCK, DISK = CHECKS = ("ledger", "ca", "clock", "disk")


def problems(
    config: Config,
    ledger: Callable[[], Engine],
    device_ca: Callable[[], Authority],
    clock: Callable[[], datetime],
) -> Mapping[str, str]:
    """Return by check why nothing could be enrolled now; empty when it could.

    `ledger` and `device_ca` open what they return, and raise as that does.
    """
    found: dict[str, str] = {}
    with _noted(found, DISK):
        disk.refuse_full(config)
    authority = None
    with _noted(found, AUTHORITY):
        authority = device_ca()
        _refuse_ended(authority, clock())
    with _noted(found, LEDGER):
        _refuse_unwritable(config)
        with reading(ledger()) as connection:
            version.refuse_other(connection, bench=False)
            _refuse_standby(connection)
            with _noted(found, CLOCK):
                # after the first look at the ledger: what that holds was written before
                now = kept(config, clock)
                if authority is not None:
                    refuse_wrong_clock(connection, authority, now)
    return found


def _refuse_ended(authority: Authority, now: datetime) -> None:
    end = compat.not_after(authority.certificate)
    if end <= now:
        another = commands.playbook("ca_rollover.yml", ca_rollover="device")
        raise StateError(f"the device CA ended on {end:%Y-%m-%d}: {another} brings another one")


def _refuse_unwritable(config: Config) -> None:
    file = disk.ledger_file(config)
    if file is not None and not (os.access(file, os.R_OK | os.W_OK) and os.access(file.parent, os.W_OK | os.X_OK)):
        # also one that was taken away from under a process, which has it open and would go on with it
        raise LedgerError(f"the ledger {file} is not there or cannot be written: check owner, mode and file system")


def _refuse_standby(connection: Connection) -> None:
    if connection.dialect.name == "postgresql" and connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
        raise LedgerError("the database server of the ledger follows another one and takes nothing: name that one")


@contextmanager
def _noted(found: dict[str, str], check: str) -> Iterator[None]:
    try:
        yield
    except ClockError as error:
        found[CLOCK] = str(error)
    except FleetmintError as error:
        found[check] = str(error)
