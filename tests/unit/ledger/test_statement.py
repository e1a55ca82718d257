"""Statements that are compiled once say the same as Core, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, select, update

from fleetmint.ledger import create_schema, open_ledger, reading, writing
from fleetmint.ledger.schema import ACTIVE, REGISTERED, devices
from fleetmint.ledger.statement import Statement
from virtual import postgres

NOW = datetime(2031, 5, 17, 16, 30, 0, 5, tzinfo=UTC)
FIRST = {"device": "lamp-000001", "batch": "lamp", "status": REGISTERED, "registered_at": NOW}
INSERT = Statement(devices.insert(), list(FIRST))
OF = Statement(select(devices).where(devices.c.device == bindparam("of")).order_by(devices.c.device))
ACTIVATE = Statement(
    update(devices)
    .where(devices.c.status == REGISTERED, devices.c.registered_at <= bindparam("until"))
    .values(status=ACTIVE, revoked_at=bindparam("at"))
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(request, tmp_path_factory):
    if request.param == "sqlite":
        made = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('statement') / 'ledger.sqlite'}", create=True)
        create_schema(made, site="test")
        yield made
        made.dispose()
        return
    with postgres.cluster() as url:
        made = open_ledger(url, create=True)
        create_schema(made, site="test")
        yield made
        made.dispose()


def test_what_a_statement_writes_core_reads_and_the_other_way_round(ledger):
    with writing(ledger) as connection:
        assert INSERT.execute(connection, **FIRST) == 1
        row = connection.execute(select(devices)).one()
        assert OF.all(connection, of="lamp-000001") == [tuple(row)]
        assert OF.first(connection, of="lamp-000001").registered_at == NOW
        assert OF.first(connection, of="lamp-000002") is None
        assert ACTIVATE.execute(connection, until=NOW - timedelta(microseconds=1), at=None) == 0
        assert ACTIVATE.execute(connection, until=NOW, at=NOW) == 1
        row = connection.execute(select(devices)).one()
        assert (row.status, row.revoked_at) == (ACTIVE, NOW)
    with reading(ledger) as connection:
        assert OF.first(connection, of="lamp-000001").status == ACTIVE


def test_a_value_that_is_missing_is_a_mistake_and_not_a_null(ledger):
    with writing(ledger) as connection, pytest.raises(KeyError, match="until"):
        ACTIVATE.execute(connection, at=NOW)
