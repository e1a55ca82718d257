"""The tables of the first ledgers.

gateway   devices ─< tokens ─ certificates >─ public_keys      crls      events (a hash chain)
factory   batches ─< units ─< burns
"""

import sqlalchemy as sa
from alembic import op

from fleetmint.ledger.migrations.frozen import UTC_TIME, check, device_id, one_of

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "settings",
        sa.Column("name", sa.String(30), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    _gateway()
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("digest", name="uq_events_digest"),
    )
    op.create_index("ix_events_at", "events", ["at"])
    _factory()


def _gateway() -> None:
    op.create_table(
        "devices",
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("batch", sa.String(63), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("registered_at", UTC_TIME, nullable=False),
        sa.Column("revoked_at", UTC_TIME),
        sa.Column("revoke_reason", sa.String(30)),
        sa.PrimaryKeyConstraint("device", name="pk_devices"),
        device_id("ck_devices_device_grammar"),
        check("ck_devices_status", one_of(("registered", "active", "revoked"), "status")),
    )
    op.create_table(
        "tokens",
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("used_at", UTC_TIME),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_tokens"),
        check("ck_tokens_token_sha256", "length(token_sha256) = 64"),
        check("ck_tokens_state", one_of(("unused", "used", "replaced"), "state")),
        sa.UniqueConstraint("token_sha256", "device", name="uq_tokens_token_sha256_device"),
        sa.ForeignKeyConstraint(["device"], ["devices.device"], name="fk_tokens_device"),
    )
    op.create_index("ix_tokens_device", "tokens", ["device"])
    unused = sa.text("state = 'unused'")
    op.create_index("ix_tokens_unused", "tokens", ["device"], unique=True, sqlite_where=unused, postgresql_where=unused)
    op.create_table(
        "public_keys",
        sa.Column("spki_sha256", sa.String(64), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("spki_sha256", name="pk_public_keys"),
        check("ck_public_keys_spki_sha256", "length(spki_sha256) = 64"),
        sa.UniqueConstraint("spki_sha256", "device", name="uq_public_keys_spki_sha256_device"),
        sa.ForeignKeyConstraint(["device"], ["devices.device"], name="fk_public_keys_device"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("issuer", sa.String(10), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("spki_sha256", sa.String(64), nullable=False),
        sa.Column("token_sha256", sa.String(64)),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("reserved_at", UTC_TIME, nullable=False),
        sa.Column("not_before", UTC_TIME),
        sa.Column("not_after", UTC_TIME),
        sa.Column("der", sa.LargeBinary),
        sa.Column("revoked_at", UTC_TIME),
        sa.Column("revoke_reason", sa.String(30)),
        sa.PrimaryKeyConstraint("serial", name="pk_certificates"),
        check("ck_certificates_issuer", one_of(("device", "factory"), "issuer")),
        check("ck_certificates_status", one_of(("reserved", "active", "revoked"), "status")),
        check(
            "ck_certificates_active_is_signed",
            "status <> 'active' OR (der IS NOT NULL AND not_after IS NOT NULL)",
        ),
        check("ck_certificates_revoked_has_time", "(status = 'revoked') = (revoked_at IS NOT NULL)"),
        sa.ForeignKeyConstraint(
            ["spki_sha256", "device"],
            ["public_keys.spki_sha256", "public_keys.device"],
            name="fk_certificates_spki_sha256_device",
        ),
        sa.ForeignKeyConstraint(
            ["token_sha256", "device"],
            ["tokens.token_sha256", "tokens.device"],
            name="fk_certificates_token_sha256_device",
        ),
        sa.UniqueConstraint("token_sha256", name="uq_certificates_token_sha256"),
    )
    op.create_index("ix_certificates_device", "certificates", ["device"])
    op.create_index("ix_certificates_status", "certificates", ["status"])
    op.create_table(
        "crls",
        sa.Column("issuer_spki_sha256", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("issuer_spki_sha256", name="pk_crls"),
    )


def _factory() -> None:
    op.create_table(
        "batches",
        sa.Column("batch", sa.String(63), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("batch", name="pk_batches"),
    )
    op.create_table(
        "units",
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("batch", sa.String(63), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key_origin", sa.String(10), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("mac", sa.String(17)),
        sa.Column("claimed_by", sa.String(100)),
        sa.Column("port", sa.String(200)),
        sa.Column("reason", sa.Text),
        sa.Column("claimed_at", UTC_TIME),
        sa.Column("finished_at", UTC_TIME),
        sa.PrimaryKeyConstraint("device", name="pk_units"),
        device_id("ck_units_device_grammar"),
        check("ck_units_key_origin", one_of(("device", "factory"), "key_origin")),
        check("ck_units_state", one_of(("planned", "claimed", "burned", "quarantined"), "state")),
        check("ck_units_mac_when_claimed", "(state = 'planned') = (mac IS NULL)"),
        check("ck_units_mac_form", "mac IS NULL OR (length(mac) = 17 AND mac = lower(mac))"),
        sa.UniqueConstraint("mac", name="uq_units_mac"),
        sa.UniqueConstraint("batch", "position", name="uq_units_batch_position"),
        sa.ForeignKeyConstraint(["batch"], ["batches.batch"], name="fk_units_batch"),
    )
    op.create_index("ix_units_batch_state_position", "units", ["batch", "state", "position"])
    op.create_table(
        "burns",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("mac", sa.String(17), nullable=False),
        sa.Column("port", sa.String(200), nullable=False),
        sa.Column("worker", sa.String(100), nullable=False),
        sa.Column("result", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_burns"),
        check("ck_burns_result", one_of(("burned", "quarantined"), "result")),
        sa.ForeignKeyConstraint(["device"], ["units.device"], name="fk_burns_device"),
    )
    op.create_index("ix_burns_device", "burns", ["device"])
