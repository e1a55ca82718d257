"""Opening a ledger, and transactions that keep what they acknowledge.

SQLite: WAL and synchronous=FULL, so a commit survives a power cut; every writer starts with BEGIN IMMEDIATE, because a
transaction that only later wants to write ignores the busy timeout (sqlite.org/lang_transaction.html).
PostgreSQL: writers take one advisory lock, which gives the same order of writers, as the chain of events needs it.
Readers see one snapshot in both: SQLite gives it by itself, PostgreSQL at the level REPEATABLE READ.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from fleetmint import commands
from fleetmint.errors import LedgerError, StateError
from fleetmint.ledger import schema, version

BUSY_SECONDS = 5
_LOOK_AGAIN = (0.0005, 0.002)
# As many as a process of the service has threads; processes with one thread open one.
_KEPT_OPEN = 16
# A migration copies the ledger and makes its tables anew.
_PATIENCE_SECONDS = 600
_WRITER = "fleetmint_writer"
_ANY_VERSION = "fleetmint_any_version"
_PATIENCE = "fleetmint_patience"
# Any fixed number, as long as all of us use the same.
_POSTGRESQL_LOCK = 0x666C6565


def open_ledger(url: str, *, create: bool = False, bench: bool = False) -> Engine:
    """Return an engine for the ledger at the SQLAlchemy `url`.

    Raises LedgerError when it is a file that does not exist and `create` is false: an empty ledger that appears by
    itself would forget every revocation. The first transaction raises LedgerError when the ledger is of another version
    than today's, with a remedy for the `bench` or for a gateway.
    """
    try:
        parsed = make_url(url)
        engine = create_engine(url, future=True, **_options(parsed.get_backend_name()))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise StateError(
            f"the ledger's URL cannot be used ({type(error).__name__}): write sqlite:////path/ledger.sqlite or"
            " postgresql+psycopg2://user@host/database, and install the driver it names"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        schema.prepare_for_postgresql()
        event.listen(engine, "begin", _begin_postgresql)
        event.listen(engine, "begin", _version_check(bench=bench))
        return engine
    _prepare_file(parsed.database, create)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "begin", _version_check(bench=bench))
    return engine


@contextmanager
def reading(engine: Engine, *, any_version: bool = False) -> Iterator[Connection]:
    """Give a connection in a transaction that sees one state and is rolled back; LedgerError as in `writing`."""
    options = {_ANY_VERSION: any_version}
    with _translated(engine), engine.connect().execution_options(**options) as connection, connection.begin() as state:
        yield connection
        state.rollback()


@contextmanager
def writing(engine: Engine, *, any_version: bool = False) -> Iterator[Connection]:
    """Give a connection in a transaction that is the only writer; committed at the end, rolled back on an exception.

    Raises LedgerError when the ledger is locked, full, read-only, damaged, or not of today's version, unless it may be
    of `any_version`.
    """
    options = {_WRITER: True, _ANY_VERSION: any_version}
    with _translated(engine), engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def altering(engine: Engine) -> Iterator[Connection]:
    """Give a connection as `writing` does, for a ledger of any version, whose tables may be made anew.

    SQLite: rows may refer to nothing until the end, and one that waits for another that alters has patience.
    """
    options = {_WRITER: True, _ANY_VERSION: True, _PATIENCE: _PATIENCE_SECONDS}
    with _translated(engine), engine.connect().execution_options(**options) as connection:
        if engine.dialect.name == "sqlite":
            connection.detach()  # what is set here is for this once
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            yield connection


def _options(backend: str) -> dict[str, Any]:
    # kept open, because opening the file for each request costs more than the request; and never waited for
    pool = {"poolclass": QueuePool, "pool_size": _KEPT_OPEN, "max_overflow": -1}
    if backend != "sqlite":
        return {**pool, "pool_pre_ping": True}  # a server may have restarted since
    return {**pool, "connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}


def _prepare_file(database: str | None, create: bool) -> None:
    if not database or database == ":memory:":
        raise StateError(
            "a ledger in memory keeps nothing: name a file, as in sqlite:////var/lib/fleetmint/ledger.sqlite"
        )
    path = Path(database)
    try:
        if create:
            # SQLite would create it readable by everybody; its journals take over the mode of the file.
            path.touch(mode=0o600, exist_ok=True)
        elif not path.exists():
            raise LedgerError(
                f"there is no ledger {path}: restore a backup, or begin one, on a gateway with"
                f" {commands.gateway('init').line}, at the bench with the first batch"
            )
    except OSError as error:
        raise LedgerError(f"cannot open the ledger {path}: {error.strerror}") from error


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would send BEGINs of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # with the driver's own cursor, because every request begins a transaction or three
    cursor = connection.connection.cursor()
    options = connection.get_execution_options()
    if options.get(_WRITER):
        _begin_immediate(cursor, options.get(_PATIENCE, BUSY_SECONDS))
    else:
        cursor.execute("BEGIN")
    cursor.close()


def _begin_immediate(cursor: Any, patience: float) -> None:
    """Take the lock of the writers, within so many seconds.

    SQLite itself would look again after 1, 2, 5, … 100 ms, and never find a ledger free that a busy service writes to.
    """
    deadline = time.monotonic() + patience
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(*_LOOK_AGAIN))  # noqa: S311 - so that two do not look at the same times
            else:
                return
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITER):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
    else:
        # by default each statement would see what others have written since the one before
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _version_check(*, bench: bool) -> Callable[[Connection], None]:
    """Return what looks once, in the first transaction of an engine that minds, for the version of the ledger."""
    seen = False

    def check(connection: Connection) -> None:
        nonlocal seen
        if not seen and not connection.get_execution_options().get(_ANY_VERSION):
            version.refuse_other(connection, bench=bench)
            seen = True

    return check


_REMEDIES = (
    ("locked", "another process holds it; try again"),
    ("disk is full", "the disk is full: make room, then try again"),
    (
        "disk i/o error",
        "the disk or card fails, or is full: `sudo dmesg` and `df` say which; make room, or go on elsewhere",
    ),
    ("readonly", "it is read-only: check the owner and mode of the file and of its directory, and the file system"),
    ("unable to open", "it cannot be opened: check the owner and mode of the file and of its directory"),
    ("no such table", "it has no schema: run {init}"),
    ("does not exist", "it has no schema: run {init}"),
    ("malformed", "the file is damaged: restore the latest backup"),
    ("not a database", "the file is damaged: restore the latest backup"),
    ("connection", "the database server does not answer: check that it runs and that the URL is right"),
)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    driver: Any = engine.dialect.dbapi
    try:
        yield
    except (IntegrityError, driver.IntegrityError):
        raise  # every rule is checked before it is written, so this is a mistake in the code
    except DBAPIError as error:
        raise _ledger_error(engine, error.orig) from error
    except driver.Error as error:  # of a Statement, or while connecting, which SQLAlchemy does not wrap
        raise _ledger_error(engine, error) from error


def _ledger_error(engine: Engine, error: BaseException | None) -> LedgerError:
    # The driver's first line only: SQLAlchemy's own text goes on with the statement and its parameters.
    said = (str(error).splitlines() or [type(error).__name__])[0]
    where = engine.url.database
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in said.lower()), "look at the message and the journal")
    remedy = remedy.format(init=commands.gateway("init"))
    return LedgerError(f"the ledger {where} cannot be used ({said}): {remedy}")
