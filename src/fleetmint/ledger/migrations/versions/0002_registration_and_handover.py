"""What registration, handover and returns need: the board of a device, and boards that come back."""

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import UTC_TIME, as_it_is, one_of

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns; a board may have another identity once the one before has ended."""
    with op.batch_alter_table("devices", copy_from=as_it_is("devices")) as devices:
        devices.add_column(sa.Column("mac", sa.String(17)))
        devices.add_column(sa.Column("result", sa.String(12)))
        devices.add_column(sa.Column("result_at", UTC_TIME))
        devices.create_check_constraint(
            "ck_devices_result", sa.text(one_of(("burned", "quarantined", "returned"), "result"))
        )
        devices.create_check_constraint("ck_devices_result_has_time", sa.text("(result IS NULL) = (result_at IS NULL)"))
    op.create_index("ix_devices_mac", "devices", ["mac"])
    states = ("planned", "claimed", "burned", "quarantined", "returned")
    with op.batch_alter_table("units", copy_from=as_it_is("units")) as units:
        units.add_column(sa.Column("registered_at", UTC_TIME))
        units.drop_constraint("ck_units_state", type_="check")
        units.create_check_constraint("ck_units_state", sa.text(one_of(states, "state")))
        units.drop_constraint("uq_units_mac", type_="unique")
    kept = sa.text("state <> 'returned'")
    op.create_index("ix_units_mac", "units", ["mac"], unique=True, sqlite_where=kept, postgresql_where=kept)
