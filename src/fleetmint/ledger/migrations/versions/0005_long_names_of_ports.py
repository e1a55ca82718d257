"""Names of ports of any length: udev makes long ones. SQLite never minded; PostgreSQL refused the row."""

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import as_it_is

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Let the names of ports and of who burned be text without a limit."""
    for table, columns in (
        ("units", ("claimed_by", "port")),
        ("burns", ("port", "worker")),
        ("refused_boards", ("port", "worker")),
    ):
        with op.batch_alter_table(table, copy_from=as_it_is(table)) as changed:
            for column in columns:
                changed.alter_column(column, type_=sa.Text)
