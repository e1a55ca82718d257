"""One line of certificates for each device: predecessors, confirmation, supersession; and keys that are retired.

What was active was in use, as far as anybody could know: it counts as confirmed. Where a device has several, which no
version before could make, the newest supersedes those before it. A key whose certificates all ended
with a change of the owner, or with the device, is retired.
"""

from typing import Literal

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import UTC_TIME, as_it_is

revision = "0007"
down_revision = "0006"

_CONFIRMED = "confirmed_at IS NOT NULL"
_UNCONFIRMED = "confirmed_at IS NULL AND status <> 'revoked'"
_PREDECESSOR = (
    "SELECT older.serial FROM certificates AS older"
    " WHERE older.device = certificates.device AND older.status = 'active'"
    " AND (older.reserved_at < certificates.reserved_at"
    " OR (older.reserved_at = certificates.reserved_at AND older.serial < certificates.serial))"
    " ORDER BY older.reserved_at DESC, older.serial DESC LIMIT 1"
)
_CURRENT = "confirmed_at IS NOT NULL AND superseded_at IS NULL AND status <> 'revoked'"


def upgrade() -> None:
    """Add the columns, fill them, and only then promise what they mean."""
    # SQLite writes an added column behind the last one in the same line, and a table that is made at once has its own
    sqlite = op.get_bind().dialect.name == "sqlite"
    recreate: Literal["always", "never"] = "always" if sqlite else "never"
    with op.batch_alter_table("public_keys", copy_from=as_it_is("public_keys"), recreate=recreate) as public_keys:
        public_keys.add_column(sa.Column("retired_at", UTC_TIME))
    with op.batch_alter_table("certificates", copy_from=as_it_is("certificates")) as certificates:
        certificates.add_column(sa.Column("predecessor", sa.String(40)))
        for name in ("confirmed_at", "superseded_at", "cloned_at"):
            certificates.add_column(sa.Column(name, UTC_TIME))
        certificates.create_check_constraint(
            "ck_certificates_confirmed_is_signed", sa.text("status <> 'reserved' OR confirmed_at IS NULL")
        )
        certificates.create_check_constraint(
            "ck_certificates_superseded_was_confirmed", sa.text("superseded_at IS NULL OR confirmed_at IS NOT NULL")
        )
        certificates.create_unique_constraint("uq_certificates_serial_device", ["serial", "device"])
    _refer_to_predecessors(sqlite)
    op.execute("UPDATE certificates SET confirmed_at = reserved_at WHERE status = 'active'")
    op.execute(f"UPDATE certificates SET predecessor = ({_PREDECESSOR}) WHERE status = 'active'")  # noqa: S608
    op.execute(
        "UPDATE certificates SET superseded_at = (SELECT heir.reserved_at FROM certificates AS heir"
        " WHERE heir.predecessor = certificates.serial) WHERE status = 'active'"
    )
    op.execute(
        "UPDATE public_keys SET retired_at = (SELECT max(ended.revoked_at) FROM certificates AS ended"
        " JOIN devices ON devices.device = ended.device WHERE ended.spki_sha256 = public_keys.spki_sha256"
        " AND (ended.revoke_reason = 'affiliation_changed' OR devices.status = 'revoked'))"
        " WHERE NOT EXISTS (SELECT 1 FROM certificates AS live WHERE live.spki_sha256 = public_keys.spki_sha256"
        " AND live.status <> 'revoked')"
    )
    for name, column, where in (
        ("unconfirmed", "device", _UNCONFIRMED),
        ("current", "device", _CURRENT),
        ("heir", "predecessor", _CONFIRMED),
    ):
        op.create_index(
            f"ix_certificates_{name}",
            "certificates",
            [column],
            unique=True,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )


def _refer_to_predecessors(sqlite: bool) -> None:
    """Apart, since what refers has to find the table as it is now; Alembic stumbles over one that refers to itself."""
    name, columns, referred = "fk_certificates_predecessor_device", ("predecessor", "device"), ("serial", "device")
    if not sqlite:
        op.execute(
            f"ALTER TABLE certificates ADD CONSTRAINT {name}"
            f" FOREIGN KEY ({', '.join(columns)}) REFERENCES certificates ({', '.join(referred)})"
        )
        return
    table = as_it_is("certificates")
    table.append_constraint(
        sa.ForeignKeyConstraint(columns, [f"certificates.{column}" for column in referred], name=name)
    )
    with op.batch_alter_table("certificates", copy_from=table, recreate="always"):
        pass
