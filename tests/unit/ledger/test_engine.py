"""Opening the ledger, its rules, and what it says when it cannot go on."""

import sqlite3
import stat
import threading
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from fleetmint.documents.times import text_time, time_text
from fleetmint.errors import LedgerError, NameRefusedError, StateError
from fleetmint.ledger import create_schema, events, factory, open_ledger, reading, schema, writing
from fleetmint.ledger import engine as module
from fleetmint.x509 import names
from virtual import postgres


def add_device(connection, device, now):
    row = {"device": device, "batch": "b", "status": "registered", "registered_at": now}
    connection.execute(insert(schema.devices).values(**row))


def test_the_file_and_its_journals_are_readable_by_their_owner_only(engine, tmp_path, now):
    with writing(engine) as connection:
        add_device(connection, "lamp-000001", now)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("ledger.sqlite*")}
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}


def test_every_connection_keeps_what_it_acknowledges(engine):
    with reading(engine) as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_what_fails_is_rolled_back(engine, now):
    def fail():
        with writing(engine) as connection:
            add_device(connection, "lamp-000001", now)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(select(schema.devices)).all() == []


def test_a_writer_waits_for_the_one_before_it_and_sees_what_that_wrote(engine, now):
    inside, seen = threading.Event(), []

    def second():
        inside.wait()
        with writing(engine) as connection:
            seen.extend(connection.execute(select(schema.devices.c.device)).scalars())

    thread = threading.Thread(target=second)
    thread.start()
    with writing(engine) as connection:
        inside.set()
        thread.join(0.3)
        assert thread.is_alive()
        add_device(connection, "lamp-000001", now)
    thread.join(10)
    assert seen == ["lamp-000001"]


# Around the edges of the grammar, and what SQLite's own text functions trip over.
@given(st.one_of(st.text(max_size=70), st.text("az09-A_é\x00\n%*[]", min_size=1, max_size=66)))
@example("lamp-000001")
@example("a" * 63)
@example("a" * 64)
@example("abc\0def")
@example("abc\n")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_check_in_the_ledger_accepts_exactly_the_grammar(engine, now, text):
    try:
        names.device_id(text)
        expected = True
    except NameRefusedError:
        expected = False
    try:
        with engine.connect() as connection:
            add_device(connection, text, now)
        found = True
    except (IntegrityError, UnicodeEncodeError):
        found = False
    assert found == expected


def test_a_number_or_bytes_are_no_device_id(tmp_path, engine):
    raw = sqlite3.connect(tmp_path / "ledger.sqlite")
    for value in (b"lamp-000001", None):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(
                "insert into devices (device, batch, status, registered_at) values (?, 'b', 'active', '')", [value]
            )
    raw.close()


def test_the_schema_compiles_for_postgresql_with_the_grammar_as_a_regular_expression():
    dialect = postgresql.dialect()
    schema.prepare_for_postgresql()
    ddl = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in schema.metadata.sorted_tables)
    assert f"""(device COLLATE "C") ~ '{names.DEVICE_ID_PATTERN}'""" in ddl
    indexes = "".join(str(CreateIndex(index).compile(dialect=dialect)) for index in schema.tokens.indexes)
    assert "WHERE state = 'unused'" in indexes


def test_creating_the_schema_again_changes_nothing(engine):
    assert create_schema(engine, site="test", owner="factory") is False


@pytest.mark.parametrize("other", [{"site": "other", "owner": "factory"}, {"site": "test", "owner": "gateway-2"}])
def test_a_ledger_belongs_to_one_site_and_a_file_to_one_gateway(engine, other):
    with pytest.raises(StateError, match="use one ledger for each site"):
        create_schema(engine, **other)


def test_a_missing_ledger_is_not_made_by_looking_at_it(tmp_path):
    with pytest.raises(LedgerError, match="fleetmint gateway init"):
        open_ledger(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_told_from_a_ledger(tmp_path):
    (tmp_path / "empty.sqlite").touch()
    engine = open_ledger(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(LedgerError, match="no schema: run"), reading(engine) as connection:
        connection.execute(select(schema.devices))
    engine.dispose()


def test_a_file_that_is_no_ledger_is_damaged(tmp_path):
    path = tmp_path / "text.sqlite"
    path.write_text("x" * 5000)
    engine = open_ledger(f"sqlite:///{path}")
    with pytest.raises(LedgerError, match="restore the latest backup"), reading(engine) as connection:
        connection.execute(select(schema.devices))
    engine.dispose()


def test_a_locked_ledger_says_so(tmp_path, engine, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    impatient = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with writing(engine), pytest.raises(LedgerError, match="another process holds it"), writing(impatient):
        pass
    impatient.dispose()


def test_a_url_that_means_nothing_says_what_to_write():
    for url in ("", "ledger", "nothing://x", "postgresql+nothing://x"):
        with pytest.raises(StateError, match="sqlite:////path"):
            open_ledger(url)


def test_no_message_quotes_a_password(tmp_path):
    with pytest.raises(StateError) as caught:
        open_ledger("nothing://user:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_times_sort_as_text_and_come_back_the_same(now):
    times = [now - timedelta(days=3650), now, now + timedelta(microseconds=1)]
    assert sorted(time_text(time) for time in times) == [time_text(time) for time in times]
    assert [text_time(time_text(time)) for time in times] == times
    with pytest.raises(ValueError, match="time zone"):
        time_text(datetime(2026, 1, 1))  # noqa: DTZ001


def append(engine, now, *kinds):
    with writing(engine) as connection:
        for kind in kinds:
            events.append(connection, at=now, actor="test", kind=kind, subject="s", detail={"n": 1})


def test_the_chain_of_events_holds(engine, now):
    append(engine, now, "a", "b", "c")
    with reading(engine) as connection:
        assert events.broken_links(connection) == ()
        assert [row.kind for row in events.later_than(connection, now - timedelta(1))] == ["a", "b", "c"]
        assert events.later_than(connection, now) == []


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("update events set detail = '{}' where seq = 2", (2,)),
        ("update events set kind = 'x', digest = 'y' where seq = 2", (2, 3)),
        ("delete from events where seq = 2", (3,)),
        ("delete from events where seq = 1", (2,)),
        ("update events set at = '2020-01-01T00:00:00.000000Z' where seq = 3", (3,)),
    ],
)
def test_a_changed_event_breaks_the_chain(engine, now, tampering, broken):
    append(engine, now, "a", "b", "c")
    with writing(engine) as connection:
        connection.exec_driver_sql(tampering)
    with reading(engine) as connection:
        assert events.broken_links(connection) == broken


def test_on_postgresql_a_reader_sees_one_state_and_names_of_ports_may_be_long(now):
    port = "/dev/serial/by-id/usb-Silicon_Labs_CP2102N_USB_to_UART_Bridge_Controller_" + "0" * 150
    with postgres.cluster() as url:
        engine = open_ledger(url)
        create_schema(engine, site="test")
        with writing(engine) as connection:
            factory.create_batch(connection, "lamps-1", {"lamp-000001": "device"}, now=now)
        with reading(engine) as reader:
            assert factory.counts(reader, "lamps-1")["planned"] == 1
            with writing(engine) as connection:
                slot = f"bench:1:{port}"
                factory.claim(connection, "lamps-1", "24:0a:c4:00:00:01", slot, port=port, now=now, unregistered=True)
                factory.record_burned(connection, "lamp-000001", slot, now=now)
            assert factory.counts(reader, "lamps-1")["planned"] == 1
        with reading(engine) as reader:
            assert factory.counts(reader, "lamps-1")["burned"] == 1
        engine.dispose()


def test_a_ledger_that_is_written_to_all_the_time_lets_another_process_in_at_the_next_gap(engine, now):
    """SQLite by itself looks again after up to 100 ms, and finds somebody else in each time."""
    stop, transactions, wanted = threading.Event(), [], 20

    def keep_writing():
        while not stop.is_set():
            with writing(engine) as connection:
                connection.exec_driver_sql("SELECT 1")
                stop.wait(0.03)
            transactions.append(1)
            stop.wait(0.001)  # as long as the service needs for a signature or two

    busy = threading.Thread(target=keep_writing)
    busy.start()
    other = open_ledger(str(engine.url))
    try:
        for number in range(wanted):
            with writing(other) as connection:
                add_device(connection, f"lamp-{number:06}", now)
    finally:
        stop.set()
        busy.join()
        other.dispose()
    # one at a time is what two would get that take turns
    assert len(transactions) < 1.5 * wanted
