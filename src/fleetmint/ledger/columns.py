"""Column types and checks that mean the same on SQLite and PostgreSQL, with SQLAlchemy 1.4 to 2.1."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeDecorator

from fleetmint.documents.times import text_time, time_text
from fleetmint.x509.names import DEVICE_ID_PATTERN

# SQLAlchemy 1.4 has no generic types at run time.
if TYPE_CHECKING:
    _TimeType = TypeDecorator[datetime]
    _Condition = ColumnElement[bool]
else:
    _TimeType, _Condition = TypeDecorator, ColumnElement


class UtcTime(_TimeType):
    """An aware UTC datetime, stored as text: neither database's own type keeps the zone in both dialects."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        """Python to database."""
        return None if value is None else time_text(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> datetime | None:
        """Database to Python."""
        return None if value is None else text_time(value)


class IsDeviceId(_Condition):
    """The grammar of device ids as a CHECK, so that no path into the ledger goes round it."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: str) -> None:
        self.column = column


@compiles(IsDeviceId)
def _device_id_by_regex(element: IsDeviceId, compiler: Any, **_: Any) -> str:
    # COLLATE "C": in other collations [a-z] can hold letters with accents
    return f"({element.column} COLLATE \"C\") ~ '{DEVICE_ID_PATTERN}'"


@compiles(IsDeviceId, "sqlite")
def _device_id_by_glob(element: IsDeviceId, compiler: Any, **_: Any) -> str:
    # SQLite has no regular expressions. The last comparison refuses a NUL, at which GLOB and length() stop reading.
    name = element.column
    return (
        f"typeof({name}) = 'text' AND {name} GLOB '[a-z0-9]*' AND {name} NOT GLOB '*[^a-z0-9-]*' "
        f"AND length({name}) BETWEEN 3 AND 63 AND length({name}) = length(CAST({name} AS BLOB))"
    )
