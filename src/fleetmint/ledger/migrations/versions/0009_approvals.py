"""What a batch asks of its devices' tokens, requests that wait for a person, and keys of the site's other gateways."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import UTC_TIME, as_it_is, check, one_of

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add columns that say what has been so far, and make two tables."""
    # SQLite writes an added column behind the last one in the same line, and a table that is made at once has its own
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("devices", copy_from=as_it_is("devices"), recreate=recreate) as devices:
        devices.add_column(sa.Column("approval", sa.String(10), nullable=False, server_default="auto"))
        devices.add_column(sa.Column("token_binding", sa.String(10), nullable=False, server_default="none"))
        devices.create_check_constraint("ck_devices_approval", sa.text(one_of(("auto", "manual"), "approval")))
        devices.create_check_constraint("ck_devices_token_binding", sa.text(one_of(("none", "mac"), "token_binding")))
    op.create_table(
        "keys_elsewhere",
        sa.Column("spki_sha256", sa.String(64), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("gateway", sa.String(63), nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("spki_sha256", name="pk_keys_elsewhere"),
        check("ck_keys_elsewhere_spki_sha256", "length(spki_sha256) = 64"),
    )
    op.create_table(
        "approvals",
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("spki_sha256", sa.String(64), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("since", UTC_TIME, nullable=False),
        sa.Column("source", sa.String(45), nullable=False),
        sa.Column("decided_at", UTC_TIME),
        sa.Column("decided_by", sa.String(63)),
        sa.PrimaryKeyConstraint("token_sha256", "spki_sha256", name="pk_approvals"),
        sa.ForeignKeyConstraint(
            ["token_sha256", "device"],
            ["tokens.token_sha256", "tokens.device"],
            name="fk_approvals_token_sha256_device",
        ),
        check("ck_approvals_spki_sha256", "length(spki_sha256) = 64"),
        check("ck_approvals_state", one_of(("waiting", "approved", "denied"), "state")),
        check("ck_approvals_decided_has_time", "(state = 'waiting') = (decided_at IS NULL)"),
        check("ck_approvals_decided_has_name", "(decided_at IS NULL) = (decided_by IS NULL)"),
    )
    op.create_index("ix_approvals_state", "approvals", ["state"])
