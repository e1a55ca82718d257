"""What several migrations need, as it was when they were written: never changed, only added to."""

from collections.abc import Iterable

from alembic import op
from sqlalchemy import CheckConstraint, MetaData, String, Table, inspect, text

# UTC as text of fixed width.
UTC_TIME = String(27)

_DEVICE_ID = {
    "sqlite": (
        "typeof(device) = 'text' AND device GLOB '[a-z0-9]*' AND device NOT GLOB '*[^a-z0-9-]*' "
        "AND length(device) BETWEEN 3 AND 63 AND length(device) = length(CAST(device AS BLOB))"
    ),
    "postgresql": "(device COLLATE \"C\") ~ '^[a-z0-9][a-z0-9-]{2,62}$'",
}


def check(name: str, condition: str) -> CheckConstraint:
    """Return a CHECK with its full name: a convention for names may change."""
    return CheckConstraint(text(condition), name=op.f(name))


def device_id(name: str) -> CheckConstraint:
    """Return the grammar of a device id in the column `device`."""
    return check(name, _DEVICE_ID[op.get_bind().dialect.name])


def one_of(values: Iterable[str], column: str) -> str:
    """Return the condition that a column has one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


def as_it_is(name: str) -> Table:
    """Return a table as it stands in the ledger, for `copy_from`: with its CHECKs, which reflection leaves out."""
    bind = op.get_bind()
    found = Table(name, MetaData(), autoload_with=bind)
    for each in inspect(bind).get_check_constraints(name):
        found.append_constraint(check(str(each["name"]), each["sqltext"]))
    return found
