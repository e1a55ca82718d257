"""What its maker calls a unit: for labels and lists."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns that are empty until a batch says more."""
    for name, length in (("product", 100), ("hardware", 100), ("serial", 63)):
        op.add_column("units", sa.Column(name, sa.String(length), nullable=False, server_default=""))
