"""Making a ledger, and bringing an older one to today's version: in one transaction, after a copy of the file.

A gateway does that when it is told to (`fleetmint gateway init`, the play, `fleetmint gateway restore`), the factory
when it opens its ledger for the first time. Whatever only asks what would be done sees the ledger as it is going to be,
in a transaction that is rolled back. Alembic is imported when there is something to migrate, and not before.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError

from fleetmint import notices
from fleetmint.errors import FleetmintError, LedgerError, StateError
from fleetmint.ledger import schema
from fleetmint.ledger.copies import copy
from fleetmint.ledger.engine import altering, open_ledger, reading, writing
from fleetmint.ledger.version import is_older, newer, version_of


@dataclass(frozen=True)
class Migration:
    """What became of an older ledger: its version `before`, and the copy of it as it was, unless a server keeps it."""

    where: str
    before: str
    copied_to: Path | None = None

    def __str__(self) -> str:
        kept = f"; as it was before it is kept in {self.copied_to}" if self.copied_to else ""
        return f"the ledger {self.where} was brought from version {self.before} to {schema.VERSION}{kept}"


def exists(url: str) -> bool:
    """Whether there may be a ledger: a database server has to be asked, a file is there or not."""
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists()


def look_for_version(engine: Engine) -> str:
    """Return the version of a gateway's ledger, "" when it has no tables; raise LedgerError when it is a newer one."""
    with reading(engine, any_version=True) as connection:
        _is_behind(connection, bench=False)
        return version_of(connection)


def create_schema(engine: Engine, *, site: str, owner: str = "") -> bool:
    """Make the tables of a ledger, or migrate an older one; return whether anything was to be done.

    `owner` is the gateway that owns a ledger which is a file: another gateway is refused, since two gateways can share
    only a database server. Raises StateError when the ledger belongs to another site or owner, and LedgerError when a
    newer Fleetmint has changed it or a migration fails, which leaves it as it was.
    """
    wanted = {"site": site}
    if engine.dialect.name == "sqlite":
        wanted["owner"] = owner
    with reading(engine, any_version=True) as connection:
        version = version_of(connection)
        if version:
            refuse_others(connection, wanted)
    if version:
        migration = migrate(engine)
        if migration is not None:
            notices.add(str(migration))
            return True
    with writing(engine, any_version=True) as connection:
        missing = not version_of(connection)
        if missing:
            schema.metadata.create_all(connection)
            connection.execute(schema.alembic_version.insert().values(version_num=schema.VERSION))
            wanted[schema.SCHEMA] = schema.NUMBERED
        else:
            refuse_others(connection, wanted)
        found = connection.execute(select(schema.settings.c.name)).scalars().all()
        new = [{"name": name, "value": value} for name, value in wanted.items() if name not in found]
        if new:
            connection.execute(schema.settings.insert(), new)
    return bool(missing or new)


def refuse_others(connection: Connection, wanted: Mapping[str, str]) -> None:
    """Raise StateError when the settings of a ledger of any version say anything else than `wanted`."""
    rows = connection.execute(select(schema.settings.c.name, schema.settings.c.value))
    found = {str(name): str(value) for name, value in rows}
    for name, value in wanted.items():
        if found.get(name, value) != value:
            raise StateError(
                f"this ledger has {name} {found[name]!r}, not {value!r}: use one ledger for each site, and a file for"
                " one gateway only"
            )


def migrate(engine: Engine, *, bench: bool = False, keep_copy: bool = True) -> Migration | None:
    """Bring an older ledger to today's version, after a copy of the file; return what was done, None when nothing.

    Of two processes that do it at once, one does it and the other waits. Raises LedgerError when it fails, or when the
    ledger is of a newer version; it is as it was then.
    """
    with reading(engine, any_version=True) as connection:
        if not _is_behind(connection, bench=bench):
            return None
    with altering(engine) as connection:
        if not _is_behind(connection, bench=bench):
            return None  # another process was faster
        where, version = str(engine.url.database), version_of(connection)
        target = None
        if keep_copy and engine.dialect.name == "sqlite":
            target = _place_for_copy(Path(where), version)
            copy(Path(where), target)
        try:
            _upgrade(connection, version)
        except BaseException:
            if target is not None:
                target.unlink()
            raise
        return Migration(where, version, target)


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    """Give a connection to the factory's ledger, and change nothing: an older one is seen as it is going to be.

    One that was killed before it had its tables is seen without any (`version_of` says "").
    """
    engine = open_ledger(url, bench=True)
    try:
        with reading(engine, any_version=True) as connection:
            if not _is_behind(connection, bench=True):
                yield connection
                return
        with altering(engine) as connection:
            _upgrade(connection, version_of(connection))
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def open_factory_ledger(url: str) -> Engine:
    """Return an engine for the factory's ledger, which is migrated when it is older."""
    engine = open_ledger(url, bench=True)
    try:
        migration = migrate(engine, bench=True)
    except BaseException:
        engine.dispose()
        raise
    if migration is not None:
        notices.add(str(migration))
    return engine


def _is_behind(connection: Connection, *, bench: bool) -> bool:
    version = version_of(connection)
    if not version or version == schema.VERSION:
        return False
    if not is_older(version):
        raise newer(f"the ledger {connection.engine.url.database}", version, bench=bench)
    return True


def _upgrade(connection: Connection, version: str) -> None:
    where = connection.engine.url.database
    _refuse_damage(connection, f"the ledger {where} is damaged, and nothing was changed: restore the latest backup")
    from fleetmint.ledger import migrations  # Alembic takes as long to import as all the rest

    try:
        migrations.upgrade(connection, version)
    except FleetmintError:
        raise
    except Exception as error:  # whatever a migration meets in tables that are not as they should be
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = f"{type(cause).__name__}: {cause}".splitlines()[0]
        raise LedgerError(
            f"the ledger {where} could not be brought from version {version} to {schema.VERSION} ({said}), and is as it"
            " was: go on with the Fleetmint that it worked with, and report this"
        ) from error
    _refuse_damage(connection, f"the ledger {where} would be damaged by its migration, and is as it was: report this")


def _refuse_damage(connection: Connection, message: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    for pragma, fine in (("integrity_check", "ok"), ("foreign_key_check", None)):
        row = connection.exec_driver_sql(f"PRAGMA {pragma}").first()
        if row is not None and row[0] != fine:
            raise LedgerError(message)


def _place_for_copy(path: Path, version: str) -> Path:
    name = f"{path.name}.version-{version}"
    numbered = (path.with_name(name if number == 1 else f"{name}.{number}") for number in range(1, 1000))
    return next(each for each in numbered if not each.exists())
