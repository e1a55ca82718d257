"""Statements that are compiled once, for what each device asks for.

SQLAlchemy Core looks a statement up anew each time it is executed, wraps the cursor and describes its rows, which costs
ten times what SQLite needs to answer. Here Core writes the SQL and converts the values, and the driver's own cursor
does the rest. Errors are the driver's own: `reading` and `writing` know them.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql import Executable

_Convert = Callable[[Any], Any] | None
# In the place of a value that is known only when the statement is executed.
_GIVEN = object()


class _Prepared(NamedTuple):
    """The SQL for one dialect, its parameters (name, value that is fixed, conversion), and how rows are made."""

    sql: str
    parameters: tuple[tuple[str, Any, _Convert], ...]
    positional: bool
    row: Callable[..., Any]
    columns: tuple[_Convert, ...]


class Statement:
    """One statement with named parameters; `columns` are those that an INSERT gives."""

    def __init__(self, expression: Executable, columns: Sequence[str] | None = None) -> None:
        self._expression: Any = expression
        self._columns = columns
        self._prepared: dict[str, _Prepared] = {}

    def execute(self, connection: Connection, **values: object) -> int:
        """Execute it in a transaction that has begun, and return how many rows it changed."""
        cursor, _ = self._run(connection, values)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def all(self, connection: Connection, **values: object) -> list[Any]:
        """Return its rows, as named tuples of Python's own types."""
        cursor, prepared = self._run(connection, values)
        found = cursor.fetchall()
        cursor.close()
        return [
            prepared.row(
                *(
                    value if convert is None or value is None else convert(value)
                    for value, convert in zip(row, prepared.columns, strict=True)
                )
            )
            for row in found
        ]

    def first(self, connection: Connection, **values: object) -> Any | None:
        """Return its first row; None when there is none."""
        found = self.all(connection, **values)
        return found[0] if found else None

    def _run(self, connection: Connection, values: dict[str, object]) -> tuple[Any, _Prepared]:
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = self._prepare(dialect)
        given = [
            fixed if fixed is not _GIVEN else values[name] if convert is None else convert(values[name])
            for name, fixed, convert in prepared.parameters
        ]
        cursor = connection.connection.cursor()
        if prepared.positional:
            cursor.execute(prepared.sql, given)
        else:
            names = (name for name, _, _ in prepared.parameters)
            cursor.execute(prepared.sql, dict(zip(names, given, strict=True)))
        return cursor, prepared

    def _prepare(self, dialect: Dialect) -> _Prepared:
        compiled = self._expression.compile(dialect=dialect, column_keys=self._columns)
        fixed = compiled.construct_params(_check=False)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        parameters = []
        for name in compiled.positiontup if compiled.positional else binds:
            bind = binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            value = _GIVEN if bind.required else fixed[name]
            parameters.append((name, value if value is _GIVEN or convert is None else convert(value), convert))
        columns = list(getattr(self._expression, "selected_columns", ()))
        row: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc] # known only now
        converts = tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns)
        return _Prepared(str(compiled), tuple(parameters), bool(compiled.positional), row, converts)
