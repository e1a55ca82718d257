"""Whatever devices, thieves, operators and crashes do, in any order, the ledger keeps its promises: a short run.

`make campaign` has a long one. That the ledger would be found out is for the tests of the audit to say.
"""

import pytest

from tests.support.issuing_machine import run


@pytest.mark.parametrize(("database", "examples"), [("sqlite", 12), ("postgresql", 4)])
def test_whatever_happens_in_any_order_the_ledger_keeps_its_promises(tmp_path, database, examples):
    run(tmp_path, database, examples=examples, steps=40, again=True)
