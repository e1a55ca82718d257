"""The numbered migrations of the ledger, run by Alembic: one schema, two databases (SQLite and PostgreSQL).

    versions/0001_….py     the tables as the first ledgers had them
    versions/0002_….py     …and what each version changed, one file for each

Which version a ledger has stands in one place, Alembic's own table `alembic_version`. A new ledger is made by
`fleetmint.ledger.schema` at once, as of `schema.VERSION`; an older one is brought there by the files of this directory
(`fleetmint.ledger.upgrade`). Nobody needs this package, or Alembic, unless there is an older ledger.

How to add a migration
----------------------

1.  `python tests/unit/ledger/dumps/write.py 0006`, with the number that is `schema.VERSION` now, keeps a small ledger
    of that version as SQL, for both databases: from the next step on it is an earlier one.
2.  Change the tables in `schema.py`, and raise `schema.VERSION` by one.
3.  Write `versions/NNNN_what.py`, with the highest number before it as `down_revision`, and with an `upgrade()` alone:
    there is no way down, because the copy that is made before each migration is the way back.
    - It is never changed afterwards, so it imports nothing of `fleetmint` that may change: names and rules that it
      needs stand in it as text. `frozen.py` has what all of them need.
    - SQLite changes little of a table in place: `op.batch_alter_table(name, copy_from=as_it_is(name))` makes the table
      anew, and PostgreSQL alters it with the same lines. Without `as_it_is` the CHECKs would be lost.
    - Rows are changed by SQL here, not by functions of the library, which know today's columns only.
    - Everything happens in one transaction with the lock of the writers: no commits, no `autocommit_block`.
4.  `pytest tests/unit/ledger` says whether the tables that are migrated are those that are made at once, column by
    column and rule by rule, and whether every kept dump comes through with its rows.
5.  CHANGELOG.md: what somebody sees of it.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

DIRECTORY = Path(__file__).parent


def upgrade(connection: Connection, version: str = "", to: str = "head") -> None:
    """Bring the tables of a ledger of this `version` to the version `to`; "" is a database without tables.

    In the transaction that `connection` is in, which is left open. A ledger from before `alembic_version` has no
    number, and gets the one that is given here.
    """
    config = Config()
    # a percent sign would begin a reference, and the path is the user's
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    if version and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, version)
    command.upgrade(config, to)
