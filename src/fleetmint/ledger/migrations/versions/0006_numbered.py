"""From here on Alembic's table says which version a ledger has.

The row `schema` of the settings said "1" of all versions before, which had five shapes between them. It says that the
ledger is numbered now: whoever does not know numbers goes by that row, and refuses the ledger rather than write into
tables that may have changed since.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Let older versions of Fleetmint refuse this ledger."""
    op.execute("UPDATE settings SET value = 'numbered' WHERE name = 'schema'")
