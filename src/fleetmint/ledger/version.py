"""Which version a ledger has, and what is said of one that is not of today's.

The version is the number of the last migration, and stands in Alembic's table `alembic_version`. Ledgers from before
that table had no number; they are told apart by their shape. Nothing here needs Alembic.
"""

from sqlalchemy import inspect, select
from sqlalchemy.engine import Connection, Inspector

from fleetmint import commands
from fleetmint.errors import LedgerError
from fleetmint.ledger import schema
from fleetmint.ledger.schema import alembic_version, settings


def version_of(connection: Connection) -> str:
    """Return the version of a ledger, such as "0006"; "" when it has no tables."""
    inspector = inspect(connection)
    tables = inspector.get_table_names()
    if alembic_version.name in tables:
        found = connection.execute(select(alembic_version.c.version_num)).scalars().first()
        if found:
            return str(found)
    return _by_shape(inspector) if settings.name in tables else ""


def is_older(version: str) -> bool:
    """Whether migrations bring a ledger of this version to today's."""
    return version.isdecimal() and int(version) < int(schema.VERSION)


def refuse_other(connection: Connection, *, bench: bool) -> None:
    """Raise LedgerError, with what to do about it, unless a ledger is of today's version.

    `bench`: it is the factory's, not a gateway's.
    """
    version, where = version_of(connection), connection.engine.url.database
    if version == schema.VERSION:
        return
    init = commands.gateway("init")
    if not version:
        begun = "a run that was to make it was cut: make the batch again" if bench else f"run {init}"
        raise LedgerError(f"the ledger {where} has no schema: {begun}")
    if not is_older(version):
        raise newer(f"the ledger {where}", version, bench=bench)
    migrates = commands.fleetmint("batch", "list") if bench else init
    raise LedgerError(
        f"the ledger {where} is of version {version}, and this Fleetmint works with version {schema.VERSION}:"
        f" {migrates} brings it up to date, and keeps a copy of it as it was"
    )


def newer(what: str, version: str, *, bench: bool) -> LedgerError:
    """Return what is said of a ledger that a newer Fleetmint has changed."""
    how = "`git pull` and `make setup`" if bench else f"an up-to-date checkout and {commands.playbook('gateway.yml')}"
    return LedgerError(
        f"{what} is of version {version}, made by a newer Fleetmint, and this one knows versions up to"
        f" {schema.VERSION}: bring the newer Fleetmint here, with {how}, or go back to a copy from before"
    )


def _by_shape(inspector: Inspector) -> str:
    units = {str(column["name"]): column["type"] for column in inspector.get_columns("units")}
    results = " ".join(str(each["sqltext"]) for each in inspector.get_check_constraints("burns"))
    if "registered_at" not in units:
        return "0001"
    if "product" not in units:
        return "0002"
    if "unseen" not in results:
        return "0003"
    return "0004" if getattr(units["port"], "length", None) else "0005"
