"""Requests that come at the same time go through their steps together: one transaction for all of them at each step.

    request ── steps ──┐            read ────────> each goes on ──> write ── commit ──> each goes on ──> …
    request ── steps ──┼──> all that wait, in
    request ── steps ──┘    one thread               one transaction, each in a savepoint

What a request does is a generator: it yields what it wants to read or to write and is sent what came of it. Between
two steps it computes. Whoever comes first does the steps of all that wait (flat combining: Hendler, Incze, Shavit and
Tzafrir, SPAA 2010), and when its own are done the next one goes on. So there is one fsync for all, code and tables of
one step stay in the caches of the processor, and the threads of Python do not take their one lock from each other at
each call of SQLite. One that is alone is a transaction like any other.

What a write has returned is durable. A step that is refused leaves nothing behind and the others go on; when the
commit fails, it fails for all of them.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from fleetmint.errors import LedgerError
from fleetmint.ledger.engine import reading, writing

_T = TypeVar("_T")


@dataclass(frozen=True)
class Read:
    """A step that reads: `work` is called with a connection as `reading` gives one."""

    work: Callable[[Connection], Any]


@dataclass(frozen=True)
class Write:
    """A step that writes: `work` is called with a connection as `writing` gives one, and must not wait for anything."""

    work: Callable[[Connection], Any]


Steps = Generator[Read | Write, Any, _T]


class _Job(Generic[_T]):
    """One request: where its steps are, and what came of them."""

    def __init__(self, steps: Steps[_T]) -> None:
        self._steps = steps
        self._turn = Lock()
        self._turn.acquire()
        self._result: list[_T] = []
        self._error: BaseException | None = None
        self.wants: Read | Write | None = None
        self.done = False

    def advance(self, value: object = None, error: BaseException | None = None) -> None:
        """Go on with what came of the last step, until the next one."""
        try:
            self.wants = self._steps.send(value) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._result = [end.value]
            self.done = True
        except BaseException as raised:
            self.fail(raised)

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.done = True

    def wait(self) -> None:
        """Wait until it is done, or has to do the steps of all."""
        self._turn.acquire()

    def wake(self) -> None:
        self._turn.release()

    def result(self) -> _T:
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # or its traceback and this frame would hold each other
        return self._result[0]


# What came of a step: the error when it is not None, else the value.
_Outcome = tuple[object, BaseException | None]


class GroupWriter:
    """Reads and writes one ledger for the threads of one process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = Lock()
        self._new: deque[_Job[Any]] = deque()
        self._led = False
        self._active: list[_Job[Any]] = []

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Return what `work` returns, when that is durable; raise as `run` does."""

        def steps() -> Steps[_T]:
            result: _T = yield Write(work)
            return result

        return self.run(steps())

    def run(self, steps: Steps[_T]) -> _T:
        """Return what the steps return; any of them may run in another thread.

        Raises what they raise, after the last write was undone, and what `reading` and `writing` raise.
        """
        job = _Job(steps)
        with self._lock:
            self._new.append(job)
            leads, self._led = not self._led, True
        if not leads:
            job.wait()
        if not job.done:
            self._lead(job)
        return job.result()

    def _lead(self, mine: _Job[Any]) -> None:
        try:
            while not mine.done:
                self._step()
                for job in [job for job in self._active if job.done]:
                    self._active.remove(job)
                    if job is not mine:
                        job.wake()
        except BaseException as error:
            self._give_up(mine, error)
            raise
        with self._lock:
            following = self._active or self._new
            self._led = bool(following)
            if following:
                following[0].wake()

    def _give_up(self, mine: _Job[Any], error: BaseException) -> None:
        with self._lock:
            for job in {*self._active, *self._new} - {mine}:
                job.fail(LedgerError(f"another request ended the service's work ({type(error).__name__}): try again"))
                job.wake()
            self._active.clear()
            self._new.clear()
            self._led = False

    def _step(self) -> None:
        with self._lock:
            started = list(self._new)
            self._new.clear()
        self._active += started
        for job in started:
            job.advance()
        while readers := [job for job in self._active if not job.done and isinstance(job.wants, Read)]:
            self._together(readers, self._read)
        writers = [job for job in self._active if not job.done]
        if writers:
            self._together(writers, self._write)

    def _together(self, jobs: list[_Job[Any]], transact: Callable[[list[_Job[Any]]], list[_Outcome]]) -> None:
        try:
            outcomes = transact(jobs)
        except BaseException as failure:
            outcomes = [(None, _own(failure, len(jobs))) for _ in jobs]
        for job, (value, error) in zip(jobs, outcomes, strict=True):
            job.advance(value, error)

    def _read(self, jobs: list[_Job[Any]]) -> list[_Outcome]:
        with reading(self.engine) as connection:
            return [_outcome(job, connection) for job in jobs]

    def _write(self, jobs: list[_Job[Any]]) -> list[_Outcome]:
        with writing(self.engine) as connection:
            if len(jobs) == 1:
                return [(_work(jobs[0])(connection), None)]
            return _each_undone_alone(jobs, connection)


def _each_undone_alone(jobs: Sequence[_Job[Any]], connection: Connection) -> list[_Outcome]:
    # the driver's own cursor, as in Statement
    cursor = connection.connection.cursor()
    found = []
    for job in jobs:
        cursor.execute("SAVEPOINT job")
        outcome = _outcome(job, connection)
        if outcome[1] is not None:
            cursor.execute("ROLLBACK TO SAVEPOINT job")
        cursor.execute("RELEASE SAVEPOINT job")
        found.append(outcome)
    cursor.close()
    return found


def _work(job: _Job[Any]) -> Callable[[Connection], Any]:
    if job.wants is None:
        raise ValueError("a step that wants nothing")
    return job.wants.work


def _outcome(job: _Job[Any], connection: Connection) -> _Outcome:
    """Return what came of a step; raise what is wrong with the ledger itself."""
    try:
        return _work(job)(connection), None
    except BaseException as error:
        if _is_fatal(connection.dialect, error):
            raise
        return None, error


def _is_fatal(dialect: Any, error: BaseException) -> bool:
    """Whether an error is one of the ledger itself, and not of what is written to it."""
    mistakes = (IntegrityError, dialect.dbapi.IntegrityError)
    return isinstance(error, DBAPIError | dialect.dbapi.Error) and not isinstance(error, mistakes)


def _own(error: BaseException, sharing: int) -> BaseException:
    """Return an error for one of several requests: they must not raise one and the same object."""
    return LedgerError(str(error)) if sharing > 1 and isinstance(error, LedgerError) else error
