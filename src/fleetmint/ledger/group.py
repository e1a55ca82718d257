"""Group commit: transactions that wait for each other anyway are written together, with one fsync for all of them.

    request ── job ──┐
    request ── job ──┼──> one transaction: each job in a savepoint ── commit ──> every request goes on
    request ── job ──┘

Whoever comes first writes for all that wait (flat combining: Hendler, Incze, Shavit and Tzafrir, SPAA 2010), so there
is no thread to start, and a job that is alone is a transaction like any other. What returned from `write` is durable.
A job that is refused leaves nothing behind, and the others go on; when the commit fails, it fails for all of them.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from fleetmint.errors import LedgerError
from fleetmint.ledger.engine import writing

_T = TypeVar("_T")


class _Job(Generic[_T]):
    """What one request wants to write, and what came of it."""

    def __init__(self, work: Callable[[Connection], _T]) -> None:
        self._work = work
        self._result: list[_T] = []
        self._error: BaseException | None = None
        self.done = False

    def run(self, connection: Connection) -> None:
        self._result = [self._work(connection)]

    def run_beside_others(self, connection: Connection) -> None:
        """Run it so that a refusal undoes this job alone; raise what is wrong with the ledger itself."""
        connection.exec_driver_sql("SAVEPOINT job")
        try:
            self.run(connection)
        except BaseException as error:
            if _is_fatal(connection.dialect, error):
                raise
            self._error = error
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
        connection.exec_driver_sql("RELEASE SAVEPOINT job")

    def fail(self, error: BaseException) -> None:
        # a refusal of its own says more
        if self._error is None:
            self._error = error

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._result[0]


class GroupWriter:
    """Writes to one ledger for the threads of one process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: deque[_Job[Any]] = deque()
        self._turn = Lock()

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` in a transaction as `writing` gives one, and return what it returns when that is durable.

        Raises what `work` raises, after it was undone, and what `writing` raises. `work` may run in another thread, and
        must not wait for anything but the ledger.
        """
        job = _Job(work)
        self._waiting.append(job)
        with self._turn:
            if not job.done:
                self._write_waiting()
        return job.result()

    def _write_waiting(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with writing(self.engine) as connection:
                if len(jobs) == 1:
                    jobs[0].run(connection)
                else:
                    for job in jobs:
                        job.run_beside_others(connection)
        except BaseException as error:
            _fail(jobs, error)
        for job in jobs:
            job.done = True


def _is_fatal(dialect: Any, error: BaseException) -> bool:
    """Whether an error is one of the ledger itself, and not of what is written to it."""
    mistakes = (IntegrityError, dialect.dbapi.IntegrityError)
    return isinstance(error, DBAPIError | dialect.dbapi.Error) and not isinstance(error, mistakes)


def _fail(jobs: list[_Job[Any]], error: BaseException) -> None:
    for job in jobs:
        # several threads must not raise one and the same object
        shared = error if len(jobs) == 1 else LedgerError(str(error)) if isinstance(error, LedgerError) else error
        job.fail(shared)
