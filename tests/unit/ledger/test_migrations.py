"""Older ledgers come through, and what comes of them is what is made today; SQLite says so itself."""

import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from fleetmint import notices
from fleetmint.errors import LedgerError, StateError
from fleetmint.ledger import (
    audit,
    create_schema,
    events,
    factory_audit,
    looking,
    migrations,
    open_factory_ledger,
    open_ledger,
    reading,
    schema,
    upgrade,
    writing,
)

DUMPS = Path(__file__).parent / "dumps"
EARLIER = sorted(path.name.partition(".")[0] for path in DUMPS.glob("*.sqlite.sql"))


def restored(directory: Path, version: str) -> Path:
    """A ledger of this version, from its dump."""
    path = directory / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DUMPS / f"{version}.sqlite.sql").read_text())
    return path


def rows_of(path: Path) -> dict[str, list[dict[str, object]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        return {name: [dict(row) for row in connection.execute(f"select * from {name}")] for name in names}  # noqa: S608


def shape_of(path: Path) -> list[object]:
    """What SQLite says of the tables: their columns in order, every constraint by its text, every index by its."""
    with closing(sqlite3.connect(path)) as connection:
        found: list[object] = []
        for name, sql in connection.execute("select name, sql from sqlite_master where sql is not null").fetchall():
            columns = connection.execute(f"pragma table_xinfo({name})").fetchall()
            lines = [line.strip().rstrip(",") for line in sql.replace(f'"{name}"', name).splitlines()]
            found.append((name, columns, sorted(lines)))
        return sorted(found)


def made_today(directory: Path) -> Path:
    path = directory / "today.sqlite"
    engine = open_ledger(f"sqlite:///{path}", create=True)
    create_schema(engine, site="home", owner="factory")
    engine.dispose()
    return path


def opened(path: Path):
    return open_factory_ledger(f"sqlite:///{path}")


@pytest.fixture
def another(tmp_path, monkeypatch):
    """Return what adds one more migration, with this body, to those that there are."""

    def add(body: str) -> None:
        directory = tmp_path / "migrations"
        shutil.copytree(migrations.DIRECTORY, directory, ignore=shutil.ignore_patterns("__pycache__"))
        text = "import sqlalchemy as sa\nfrom alembic import op\n"
        text += f"revision, down_revision = '9999', {schema.VERSION!r}\n"
        text += "def upgrade():\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (directory / "versions/9999_for_a_test.py").write_text(text)
        monkeypatch.setattr(migrations, "DIRECTORY", directory)
        monkeypatch.setattr(schema, "VERSION", "9999")

    return add


def test_the_migrations_are_numbered_without_a_gap_and_todays_version_is_the_last():
    numbers = [path.name.partition("_")[0] for path in sorted((migrations.DIRECTORY / "versions").glob("*.py"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert numbers[-1] == schema.VERSION
    assert numbers[:-1] == EARLIER, "there is a dump of every earlier version"


def test_what_is_migrated_from_nothing_is_what_is_made_at_once(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path / 'migrated.sqlite'}", create=True)
    with writing(engine, any_version=True) as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert shape_of(tmp_path / "migrated.sqlite") == shape_of(made_today(tmp_path))


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_ledger_keeps_its_rows_and_becomes_like_todays(tmp_path, version):
    path = restored(tmp_path, version)
    before = rows_of(path)
    opened(path).dispose()
    after = rows_of(path)
    assert after.pop("alembic_version") == [{"version_num": schema.VERSION}]
    assert {row["name"]: row["value"] for row in after.pop("settings")} == {
        "schema": "numbered", "site": "home", "owner": "factory",
    }  # fmt: skip
    for table, rows in before.items():
        if table not in ("settings", "alembic_version"):
            kept = (
                after[table][: len(rows)] if table == "events" else after[table]
            )  # a migration may append to the chain
            assert [{name: row[name] for name in rows[0]} for row in kept] == rows, table
    assert shape_of(path) == shape_of(made_today(tmp_path))


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_ledger_keeps_its_promises(tmp_path, version):
    engine = opened(restored(tmp_path, version))
    with reading(engine) as connection:
        assert audit.findings(connection) == ()
        found = [str(finding) for finding in factory_audit.findings(connection)]
        assert events.broken_links(connection) == ()
    engine.dispose()
    # the first version did not record what was registered; saying so is the way to mend it
    assert [each for each in found if "never registered" not in each] == []
    assert bool(found) == (version == "0001")


def test_a_device_with_several_certificates_at_once_goes_on_with_the_newest(tmp_path):
    path = restored(tmp_path, "0006")
    columns = "issuer, device, spki_sha256, status, not_before, not_after, der"
    with closing(sqlite3.connect(path)) as connection:
        for serial, day in (("aa", 24), ("bb", 25)):
            connection.execute(
                f"insert into certificates (serial, reserved_at, {columns}) select ?, ?, {columns} from certificates"  # noqa: S608
                " where status = 'active' limit 1",
                (serial, f"2026-11-{day}T08:30:00.000000Z"),
            )
        connection.commit()
    opened(path).dispose()
    found = sorted(
        (row["reserved_at"], row["serial"], row["predecessor"], row["superseded_at"])
         for row in rows_of(path)["certificates"] if row["status"] == "active"
    )  # fmt: skip
    first, second, third = found
    assert [each[2] for each in found] == [None, first[1], second[1]]
    assert [each[3] for each in found] == [second[0], third[0], None]


@pytest.mark.parametrize("version", EARLIER)
def test_as_it_was_before_it_is_kept_beside_it_for_its_owner_only(tmp_path, version):
    path = restored(tmp_path, version)
    before = rows_of(path)
    opened(path).dispose()
    kept = tmp_path / f"ledger.sqlite.version-{version}"
    assert rows_of(kept) == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert notices.take() == [
        f"the ledger {path} was brought from version {version} to {schema.VERSION};"
        f" as it was before it is kept in {kept}"
    ]
    opened(path).dispose()
    assert notices.take() == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ledger.sqlite", kept.name]


def test_a_copy_from_before_is_never_written_over(tmp_path):
    path = restored(tmp_path, "0003")
    (tmp_path / "ledger.sqlite.version-0003").write_text("kept")
    opened(path).dispose()
    assert (tmp_path / "ledger.sqlite.version-0003").read_text() == "kept"
    assert rows_of(tmp_path / "ledger.sqlite.version-0003.2")["settings"][0]["value"] == "1"


@pytest.mark.parametrize("version", ["0001", "0002", "0003"])
def test_a_ledger_to_which_a_newer_version_has_added_its_new_table_comes_through(tmp_path, version):
    path = restored(tmp_path, version)
    engine = open_ledger(f"sqlite:///{path}")
    with writing(engine, any_version=True) as connection:
        schema.refused_boards.create(connection)
    engine.dispose()
    opened(path).dispose()
    assert shape_of(path) == shape_of(made_today(tmp_path))


def test_making_the_schema_migrates_too_unless_the_ledger_is_somebody_elses(tmp_path):
    path = restored(tmp_path, "0002")
    engine = open_ledger(f"sqlite:///{path}")
    for other in ({"site": "other", "owner": "factory"}, {"site": "home", "owner": "gateway"}):
        with pytest.raises(StateError, match="use one ledger for each site"):
            create_schema(engine, **other)
    assert "alembic_version" not in rows_of(path)
    assert create_schema(engine, site="home", owner="factory") is True
    assert create_schema(engine, site="home", owner="factory") is False
    engine.dispose()


def test_whoever_only_looks_sees_it_as_it_is_going_to_be_and_changes_nothing(tmp_path):
    path = restored(tmp_path, "0001")
    before = rows_of(path)
    with looking(f"sqlite:///{path}") as connection:
        assert connection.execute(select(schema.units.c.product).distinct()).scalars().all() == [""]
        assert connection.execute(select(schema.refused_boards)).all() == []
    assert rows_of(path) == before
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize(
    "body",
    [
        "op.add_column('devices', sa.Column('colour', sa.Text))\nop.execute('INSERT INTO nothing VALUES (1)')",
        "op.execute('DELETE FROM devices')\n{}['port']",
        "op.execute('DELETE FROM batches')",
        "op.execute('DELETE FROM devices')\nraise KeyboardInterrupt",
    ],
    ids=["an error", "an error of its own", "rows that refer to nothing", "an interruption"],
)
def test_a_migration_that_fails_leaves_the_ledger_as_it_was(tmp_path, another, body):
    path = restored(tmp_path, "0004")
    before = rows_of(path), shape_of(path)
    another(body)
    with pytest.raises((LedgerError, KeyboardInterrupt)) as caught:
        opened(path)
    assert caught.type is KeyboardInterrupt or "as it was" in str(caught.value)
    assert (rows_of(path), shape_of(path)) == before
    assert list(tmp_path.glob("ledger.sqlite*")) == [path]


def test_the_next_migration_finds_what_those_before_have_made(tmp_path, another):
    path, today = made_today(tmp_path), schema.VERSION
    another("op.add_column('devices', sa.Column('colour', sa.Text, nullable=False, server_default='white'))")
    opened(path).dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "insert into devices (device, batch, status, registered_at) values ('lamp-000001', 'b', 'registered', '')"
        )
        assert connection.execute("select colour from devices").fetchall() == [("white",)]
    assert rows_of(path)["alembic_version"] == [{"version_num": "9999"}]
    assert (tmp_path / f"today.sqlite.version-{today}").exists()


def test_a_full_disk_is_said_before_anything_is_changed(tmp_path, full_disk):
    path = restored(tmp_path, "0005")
    before = rows_of(path)
    with full_disk(path.stat().st_size // 2), pytest.raises(LedgerError, match="make room"):
        opened(path)
    assert rows_of(path) == before
    assert not list(tmp_path.glob("*.version-*"))


def test_a_damaged_ledger_is_not_migrated(tmp_path):
    path = restored(tmp_path, "0005")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("delete from batches")
        connection.commit()
    with pytest.raises(LedgerError, match="restore the latest backup"):
        opened(path)
    assert "alembic_version" not in rows_of(path)


def test_of_two_processes_one_migrates_and_the_other_waits(tmp_path):
    path = restored(tmp_path, "0001")
    program = f"""
from fleetmint import notices
from fleetmint.ledger import open_factory_ledger, reading, schema
engine = open_factory_ledger("sqlite:///{path}")
with reading(engine) as connection:
    print(len(connection.execute(schema.units.select()).all()), len(notices.take()))
"""
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert said == ["6 0", "6 0", "6 0", "6 1"]
    assert len(list(tmp_path.glob("*.version-*"))) == 1


def test_who_waits_for_another_that_migrates_finds_it_done(tmp_path, monkeypatch):
    path = restored(tmp_path, "0001")
    engine = open_ledger(f"sqlite:///{path}")
    asked = []
    real = upgrade._is_behind

    def in_between(connection, **options):
        asked.append(real(connection, **options))
        if len(asked) == 1:
            monkeypatch.setattr(upgrade, "_is_behind", real)
            opened(path).dispose()
        return asked[-1]

    monkeypatch.setattr(upgrade, "_is_behind", in_between)
    assert upgrade.migrate(engine) is None
    engine.dispose()


def newer(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update alembic_version set version_num = '0917'")
        connection.commit()
    return path


def look(path: Path) -> None:
    with looking(f"sqlite:///{path}"):
        pass


def read(path: Path) -> None:
    with reading(open_ledger(f"sqlite:///{path}")) as connection:
        connection.execute(select(schema.devices))


@pytest.mark.parametrize("way", [look, read, opened])
def test_a_newer_ledger_is_refused_with_the_versions_and_what_to_do(tmp_path, way):
    path = newer(made_today(tmp_path))
    before = rows_of(path)
    with pytest.raises(LedgerError) as caught:
        way(path)
    assert "version 0917" in str(caught.value)
    assert f"up to {schema.VERSION}: bring the newer Fleetmint here" in str(caught.value)
    assert rows_of(path) == before


def test_a_newer_ledger_is_not_made_anew(tmp_path):
    path = newer(made_today(tmp_path))
    engine = open_ledger(f"sqlite:///{path}")
    with pytest.raises(LedgerError, match="version 0917"):
        create_schema(engine, site="home", owner="factory")
    engine.dispose()


@pytest.mark.parametrize(("bench", "remedy"), [(True, ["batch", "list"]), (False, ["gateway", "init"])])
def test_an_older_ledger_is_refused_with_the_command_that_migrates_it_where_nobody_asked_for_that(
    tmp_path, bench, remedy
):
    path = restored(tmp_path, "0003")
    engine = open_ledger(f"sqlite:///{path}", bench=bench)
    for way in (reading, writing):
        with pytest.raises(LedgerError) as caught, way(engine) as connection:
            connection.execute(select(schema.units))
        assert re.search(f"of version 0003.*version {schema.VERSION}", str(caught.value))
        (line,) = re.findall("`([^`]*)`", str(caught.value))
        *_, program, group, name = shlex.split(line)
        assert (Path(program).name, [group, name]) == ("fleetmint", remedy)
    opened(path).dispose()
    with reading(engine) as connection:  # what a service does that was started too early
        assert connection.execute(select(schema.units)).all()
    engine.dispose()


def test_alembic_is_needed_by_a_migration_only(tmp_path):
    program = f"""
import sys
sys.modules["alembic"] = None
from fleetmint.ledger import create_schema, looking, open_factory_ledger, open_ledger, reading
url = "sqlite:///{tmp_path}/ledger.sqlite"
create_schema(open_ledger(url, create=True), site="home", owner="factory")
with reading(open_factory_ledger(url)), looking(url):
    print("well")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "well\n", done.stderr
