"""Boards that got no identity, and attempts that were cut off or ended without a word of the device."""

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import UTC_TIME, as_it_is, one_of

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make a table, and let an attempt have two more results."""
    with op.batch_alter_table("burns", copy_from=as_it_is("burns")) as burns:
        burns.drop_constraint("ck_burns_result", type_="check")
        burns.create_check_constraint(
            "ck_burns_result", sa.text(one_of(("burned", "quarantined", "failed", "unseen"), "result"))
        )
    # Before ledgers had numbers, a newer version added the tables that an older one had not made, and nothing else.
    if sa.inspect(op.get_bind()).has_table("refused_boards"):
        return
    op.create_table(
        "refused_boards",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("batch", sa.String(63), nullable=False),
        sa.Column("mac", sa.String(17)),
        sa.Column("port", sa.String(200), nullable=False),
        sa.Column("worker", sa.String(100), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refused_boards"),
        sa.ForeignKeyConstraint(["batch"], ["batches.batch"], name="fk_refused_boards_batch"),
    )
    op.create_index("ix_refused_boards_batch", "refused_boards", ["batch"])
