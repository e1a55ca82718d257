"""The same on PostgreSQL, where pg_dump says what the tables are."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from fleetmint.errors import LedgerError
from fleetmint.ledger import create_schema, looking, migrations, open_factory_ledger, open_ledger, schema, writing
from virtual import postgres

DUMPS = Path(__file__).parent / "dumps"
EARLIER = sorted(path.name.partition(".")[0] for path in DUMPS.glob("*.postgresql.sql"))


@pytest.fixture(scope="module")
def server():
    with postgres.cluster() as url:
        yield url


@pytest.fixture
def database(server, request):
    """Return what makes a database, empty or from a dump, and gives its URL."""
    made = []

    def make(version: str = "") -> str:
        made.append(f"d{abs(hash(request.node.name))}_{len(made)}")
        run(server, "postgres", "--command", f"CREATE DATABASE {made[-1]}")
        if version:
            run(server, made[-1], "--file", str(DUMPS / f"{version}.postgresql.sql"))
        return server.replace("@/postgres?", f"@/{made[-1]}?")

    return make


def run(url: str, database: str, *arguments: str) -> str:
    host = url.partition("host=")[2]
    command = ["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align"]
    done = subprocess.run(
        [*command, "--host", host, "--username", "postgres", database, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dumped(url: str, *options: str) -> str:
    host = url.partition("host=")[2]
    command = ["pg_dump", "--no-owner", "--host", host, "--username", "postgres", *options, name_of(url)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\")))


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def shape_of(url: str, database) -> str:
    """What is dumped once it has been restored: PostgreSQL words a condition anew when it reads what it has dumped."""
    again = database()
    run(url, name_of(again), "--command", dumped(url, "--schema-only"))
    return dumped(again, "--schema-only")


def rows_of(url: str, tables: Sequence[str]) -> set[str]:
    named = [f"--table={table}" for table in tables]
    return set(dumped(url, "--data-only", "--column-inserts", *named).splitlines())


def made_today(url: str) -> str:
    engine = open_ledger(url)
    create_schema(engine, site="home")
    engine.dispose()
    return url


def test_what_is_migrated_from_nothing_is_what_is_made_at_once(database):
    url = database()
    engine = open_ledger(url)
    with writing(engine, any_version=True) as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert shape_of(url, database) == shape_of(made_today(database()), database)


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_ledger_keeps_its_rows_and_becomes_like_todays(database, version):
    url = database(version)
    unchanged = ("tokens", "crls", "batches", "burns")
    columns = ("serial, issuer, device, spki_sha256, token_sha256, status, reserved_at, not_before, not_after, der,"
               " revoked_at, revoke_reason")  # fmt: skip
    kept = f"SELECT {columns} FROM certificates JOIN public_keys USING (spki_sha256, device) ORDER BY serial"  # noqa: S608
    before = rows_of(url, unchanged), run(url, name_of(url), "--command", kept)
    chain = rows_of(url, ["events"])
    open_factory_ledger(url).dispose()
    assert rows_of(url, ["events"]) >= chain  # a migration may append to it
    assert (rows_of(url, unchanged), run(url, name_of(url), "--command", kept)) == before
    assert shape_of(url, database) == shape_of(made_today(database()), database)
    with looking(url) as connection:
        assert len(connection.execute(select(schema.units)).all()) == 6
        assert len(connection.execute(select(schema.devices)).all()) == 3


def test_whoever_only_looks_sees_it_as_it_is_going_to_be_and_changes_nothing(database):
    url = database("0001")
    before = dumped(url)
    with looking(url) as connection:
        assert connection.execute(select(schema.units.c.product).distinct()).scalars().all() == [""]
    assert dumped(url) == before


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(database):
    url = database("0001")
    # two boards that have come back may be the same one, but nobody takes a name that is in use
    run(url, name_of(url), "--command", "CREATE INDEX ix_units_mac ON units (mac)")
    before = dumped(url)
    with pytest.raises(LedgerError, match="as it was"):
        open_factory_ledger(url)
    assert dumped(url) == before


def test_of_two_processes_one_migrates_and_the_other_waits(database):
    url = database("0001")
    program = f"""
from fleetmint import notices
from fleetmint.ledger import open_factory_ledger, reading, schema
with reading(open_factory_ledger({url!r})) as connection:
    print(len(connection.execute(schema.units.select()).all()), len(notices.take()))
"""
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(each.communicate(timeout=60)[0].strip() for each in running) == ["6 0", "6 0", "6 1"]


def test_a_newer_ledger_is_refused_with_the_versions_and_what_to_do(database):
    url = made_today(database())
    engine = open_ledger(url)
    with writing(engine) as connection:
        connection.execute(schema.alembic_version.update().values(version_num="0917"))
    engine.dispose()
    with pytest.raises(LedgerError, match=r"version 0917.*git pull"):
        open_factory_ledger(url)
