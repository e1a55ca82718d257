"""Many writers, one transaction: what is acknowledged is durable, and a refusal is nobody else's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from fleetmint.errors import LedgerError, StateError
from fleetmint.ledger import reading, writing
from fleetmint.ledger.group import GroupWriter, Read, Write
from fleetmint.ledger.schema import settings

WRITERS = 12


@pytest.fixture
def writer(engine):
    return GroupWriter(engine)


def put(name):
    return lambda connection: connection.execute(insert(settings).values(name=name, value=name)) and name


def together(writer, works):
    """Have all of these wait for the ledger at once, while another writer has it."""
    with ThreadPoolExecutor(len(works)) as pool:
        with writing(writer.engine):
            first = pool.submit(writer.write, works[0])
            futures = [first, *(pool.submit(writer.write, work) for work in works[1:])]
            waiting = threading.Event()
            # the first does the steps of all, and waits for the ledger
            while len(writer._new) < len(works) - 1:
                waiting.wait(0.001)
        return [future.exception() or future.result() for future in futures]


def names(engine):
    with reading(engine) as connection:
        return set(connection.execute(select(settings.c.name)).scalars())


def test_those_that_wait_are_written_with_one_commit_and_each_gets_its_own_result(writer, engine):
    commits = []
    event.listen(engine, "commit", lambda _: commits.append(1))
    wanted = [f"w{number}" for number in range(WRITERS)]
    assert together(writer, [put(name) for name in wanted]) == wanted
    assert set(wanted) <= names(engine)
    # the one that held the ledger, the one that waited for it, and all the others
    assert len(commits) == 3


def test_one_that_is_refused_leaves_nothing_and_the_others_go_on(writer, engine):
    def refused(connection):
        put("half")(connection)
        raise StateError("not this one")

    def twice(connection):
        put("same")(connection)
        put("same")(connection)

    found = together(writer, [put("first"), put("a"), refused, twice, put("b")])
    assert found[0:2] == ["first", "a"]
    assert found[4] == "b"
    assert str(found[2]) == "not this one"
    assert isinstance(found[3], IntegrityError)
    assert names(engine) & {"a", "b", "half", "same"} == {"a", "b"}


def test_a_commit_that_fails_fails_for_all_that_waited(writer, engine):
    full = threading.Event()

    def fail(_):
        if full.is_set():
            raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    def last(connection):
        full.set()
        return put("last")(connection)

    event.listen(engine, "commit", fail)
    found = together(writer, [put("first"), put("a"), last, put("b")])
    full.clear()
    assert found[0] == "first"
    assert all(isinstance(each, LedgerError) and "make room" in str(each) for each in found[1:])
    assert len({id(each) for each in found[1:]}) == 3
    assert names(engine) & {"first", "a", "last", "b"} == {"first"}
    assert writer.write(put("later")) == "later"


def test_one_that_is_alone_and_refused_leaves_nothing(writer, engine):
    def refused(connection):
        put("half")(connection)
        raise StateError("not this one")

    with pytest.raises(StateError, match="not this one"):
        writer.write(refused)
    assert "half" not in names(engine)


def test_steps_read_and_write_in_turn_and_a_refusal_can_be_answered_with_another_step(writer, engine):
    def steps(name):
        before = yield Read(lambda connection: len(connection.execute(select(settings)).all()))
        try:
            yield Write(lambda connection: put(name)(connection) and refuse())
        except StateError:
            yield Write(put(f"{name}-refused"))
        after = yield Read(lambda connection: len(connection.execute(select(settings)).all()))
        return after - before

    def refuse():
        raise StateError("not this one")

    assert writer.run(steps("one")) == 1
    assert names(engine) & {"one", "one-refused"} == {"one-refused"}


def test_each_of_many_gets_its_own_result_whoever_does_the_steps(writer, engine):
    def steps(number):
        yield Read(lambda connection: connection.execute(select(settings)).all())
        yield Write(put(f"first-{number}"))
        if number % 3 == 0:
            raise StateError(f"{number} is refused")
        return (yield Write(put(f"second-{number}")))

    def outcome(number):
        try:
            return writer.run(steps(number))
        except StateError as error:
            return str(error)

    with ThreadPoolExecutor(WRITERS) as pool:
        found = list(pool.map(outcome, range(20 * WRITERS)))
    assert found == [f"{n} is refused" if n % 3 == 0 else f"second-{n}" for n in range(20 * WRITERS)]
    assert {f"first-{n}" for n in range(20 * WRITERS)} <= names(engine)
    assert not writer._led


def test_who_is_stopped_while_it_does_the_steps_of_others_leaves_nobody_waiting(writer, monkeypatch):
    """As Ctrl-C does in the middle of anything."""
    step = GroupWriter._step

    def stopped(self):
        monkeypatch.setattr(GroupWriter, "_step", step)
        while len(self._new) < 3:
            threading.Event().wait(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(GroupWriter, "_step", stopped)

    def outcome(name):
        try:
            return writer.write(put(name))
        except BaseException as error:
            return type(error)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(outcome, ["a", "b", "c"]))
    assert sorted(found, key=str) == [KeyboardInterrupt, LedgerError, LedgerError]
    assert writer.write(put("later")) == "later"
