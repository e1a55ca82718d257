"""What a device asks for costs the same in a fleet of 100,000 as in one of ten: no statement reads a whole table."""

import re
import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy import event

from tests.support.gateway_site import new_key
from tests.support.renewing import LAMP, clock, enrolled, http, made

__all__ = ["clock", "enrolled", "http", "made"]

_STATEMENT = re.compile(r"(SELECT|UPDATE|DELETE)\b")
# Of the newest event alone, which is the last row of the table; and the version of the ledger, once for a process.
_OTHERS = re.compile(r"FROM events ORDER BY events\.seq DESC LIMIT 1|FROM sqlite_master|FROM alembic_version")


@pytest.fixture
def said(http):
    """Every statement that SQLite is given, with its values."""
    found = []
    engine = http.application.extensions["fleetmint"].engine
    event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(found.append))
    return found


def test_no_statement_for_a_device_reads_a_whole_table(site, http, said, clock, enrolled, made):
    lamp = enrolled(LAMP).used()
    renewed = lamp.renewed(new_key())
    clock.now += timedelta(days=10)
    renewed.get("/v1/whoami")
    lamp.renew(new_key())  # a copy: refused, and an alarm
    made.used().renewed(new_key())
    clock.now += timedelta(days=400)
    assert renewed.recover().status_code == 200
    statements = [text for text in said if _STATEMENT.match(text) and not _OTHERS.search(" ".join(text.split()))]
    # each route has asked something
    assert len(statements) > 40
    ledger = sqlite3.connect(site.config.ledger.removeprefix("sqlite:///"))
    for text in statements:
        plan = [row[3] for row in ledger.execute(f"EXPLAIN QUERY PLAN {text}")]
        assert [step for step in plan if step.startswith("SCAN")] == [], text
    ledger.close()
