"""The tables of both ledgers.

    gateway   devices ─< tokens ─ certificates >─ public_keys      crls      events (a hash chain)
                         tokens ─< approvals                       keys_elsewhere
    factory   batches ─< units ─< burns           batches ─< refused_boards

Serials and hashes are lower-case hex, times UTC. A public key belongs to one device for ever: that is a row of
`public_keys`, not a promise of the code.
"""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.sql.elements import TextClause

from fleetmint import choices
from fleetmint.ledger.columns import IsDeviceId, UtcTime

# The number of the last migration, which makes an older ledger like one that is made by these tables.
VERSION = "0009"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(text(f"{column} IN ({listed})"), name=column)


# Unique indexes over a part of their table.
_partial_indexes: list[Index] = []


def _partial(name: str, column: Column[str], where: TextClause) -> None:
    _partial_indexes.append(Index(name, column, unique=True, sqlite_where=where))


def prepare_for_postgresql() -> None:
    """Limit the partial indexes for PostgreSQL, too: apart, since most processes need not import its dialect."""
    for index in _partial_indexes:
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


def _device_id(column: str = "device") -> CheckConstraint:
    return CheckConstraint(IsDeviceId(column), name=f"{column}_grammar")


# Which version the tables of a ledger have: Alembic's own table, which is the one place that says so.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# Whose this ledger is: site, and the gateway that owns it when it is a file. Its row `schema` is for those who do not
# know the table above: versions before it look there for a "1", and refuse anything else.
SCHEMA, NUMBERED = "schema", "numbered"
settings = Table(
    "settings",
    metadata,
    Column("name", String(30), primary_key=True),
    Column("value", Text, nullable=False),
)

DEVICE_STATES = REGISTERED, ACTIVE, REVOKED = ("registered", "active", "revoked")

# What became of a board at the bench, as far as the gateway is told.
UNIT_STATES = PLANNED, CLAIMED, BURNED, QUARANTINED, RETURNED = choices.UNIT_STATES
RESULTS = (BURNED, QUARANTINED, RETURNED)

# What the maker of a batch wants of its devices before their token is good.
AUTO, MANUAL = choices.APPROVALS
UNBOUND, TO_MAC = choices.TOKEN_BINDINGS

# registered: has an unused token; active: has a certificate; revoked: for ever.
# The board (mac, result and when) is what the factory hands over after burning: attributes, never the identity.
# approval: whether a person has to approve what a token asks for; token_binding: whether it has to come from its board.
devices = Table(
    "devices",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("batch", String(63), nullable=False),
    Column("status", String(10), nullable=False),
    Column("registered_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("revoke_reason", String(30)),
    Column("mac", String(17), index=True),
    Column("result", String(12)),
    Column("result_at", UtcTime),
    Column("approval", String(10), nullable=False, server_default=AUTO),
    Column("token_binding", String(10), nullable=False, server_default=UNBOUND),
    _device_id(),
    _one_of("status", DEVICE_STATES),
    _one_of("approval", choices.APPROVALS),
    _one_of("token_binding", choices.TOKEN_BINDINGS),
    CheckConstraint(text("result IN ('burned', 'quarantined', 'returned')"), name="result"),
    CheckConstraint(text("(result IS NULL) = (result_at IS NULL)"), name="result_has_time"),
)

TOKEN_STATES = UNUSED, USED, REPLACED = ("unused", "used", "replaced")

tokens = Table(
    "tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("device", ForeignKey("devices.device"), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("state", String(10), nullable=False),
    Column("used_at", UtcTime),
    CheckConstraint(text("length(token_sha256) = 64"), name="token_sha256"),
    _one_of("state", TOKEN_STATES),
    UniqueConstraint("token_sha256", "device"),
    Index(None, "device"),
)
# A device has one valid token at a time.
_partial("ix_tokens_unused", tokens.c.device, text("state = 'unused'"))

# retired_at: since when this key is never certified again, not for its own device either.
public_keys = Table(
    "public_keys",
    metadata,
    Column("spki_sha256", String(64), primary_key=True),
    Column("device", ForeignKey("devices.device"), nullable=False),
    Column("retired_at", UtcTime),
    CheckConstraint(text("length(spki_sha256) = 64"), name="spki_sha256"),
    UniqueConstraint("spki_sha256", "device"),
)

# Keys of the site's other gateways, as the controller has told: no device of this one may have them.
keys_elsewhere = Table(
    "keys_elsewhere",
    metadata,
    Column("spki_sha256", String(64), primary_key=True),
    Column("device", String(63), nullable=False),
    Column("gateway", String(63), nullable=False),
    Column("retired", Boolean(create_constraint=False), nullable=False),
    CheckConstraint(text("length(spki_sha256) = 64"), name="spki_sha256"),
)

WAITING, APPROVED, DENIED = "waiting", "approved", "denied"

# A request that a person has to approve is a token with a key: with another key it is another request.
approvals = Table(
    "approvals",
    metadata,
    Column("token_sha256", String(64), nullable=False),
    Column("spki_sha256", String(64), nullable=False),
    Column("device", String(63), nullable=False),
    Column("state", String(10), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("source", String(45), nullable=False),
    Column("decided_at", UtcTime),
    Column("decided_by", String(63)),
    PrimaryKeyConstraint("token_sha256", "spki_sha256"),
    ForeignKeyConstraint(["token_sha256", "device"], ["tokens.token_sha256", "tokens.device"]),
    CheckConstraint(text("length(spki_sha256) = 64"), name="spki_sha256"),
    _one_of("state", (WAITING, APPROVED, DENIED)),
    CheckConstraint(text("(state = 'waiting') = (decided_at IS NULL)"), name="decided_has_time"),
    CheckConstraint(text("(decided_at IS NULL) = (decided_by IS NULL)"), name="decided_has_name"),
    Index(None, "state"),
)

RESERVED = "reserved"
CERTIFICATE_STATES = (RESERVED, ACTIVE, REVOKED)

# reserved: decided and durable, not yet signed (der, not_before and not_after come with the signature).
# The signature of ECDSA differs each time, so the first one stored is the certificate and any other is dropped.
# The certificates of a device are one line (succession.py): each names its predecessor, is confirmed when it is first
# seen in use, and is no longer good from `superseded_at` on, which is set when its successor is confirmed.
# cloned_at: when somebody first asked with it although its successor was in use.
certificates = Table(
    "certificates",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("issuer", String(10), nullable=False),
    Column("device", String(63), nullable=False),
    Column("spki_sha256", String(64), nullable=False),
    Column("token_sha256", String(64), unique=True),
    Column("status", String(10), nullable=False),
    Column("reserved_at", UtcTime, nullable=False),
    Column("not_before", UtcTime),
    Column("not_after", UtcTime),
    Column("der", LargeBinary),
    Column("revoked_at", UtcTime),
    Column("revoke_reason", String(30)),
    Column("predecessor", String(40)),
    Column("confirmed_at", UtcTime),
    Column("superseded_at", UtcTime),
    Column("cloned_at", UtcTime),
    _one_of("issuer", ("device", "factory")),
    _one_of("status", CERTIFICATE_STATES),
    CheckConstraint(text("status <> 'active' OR (der IS NOT NULL AND not_after IS NOT NULL)"), name="active_is_signed"),
    CheckConstraint(text("(status = 'revoked') = (revoked_at IS NOT NULL)"), name="revoked_has_time"),
    CheckConstraint(text("status <> 'reserved' OR confirmed_at IS NULL"), name="confirmed_is_signed"),
    CheckConstraint(text("superseded_at IS NULL OR confirmed_at IS NOT NULL"), name="superseded_was_confirmed"),
    UniqueConstraint("serial", "device"),
    ForeignKeyConstraint(["predecessor", "device"], ["certificates.serial", "certificates.device"]),
    ForeignKeyConstraint(["spki_sha256", "device"], ["public_keys.spki_sha256", "public_keys.device"]),
    ForeignKeyConstraint(["token_sha256", "device"], ["tokens.token_sha256", "tokens.device"]),
    Index(None, "device"),
    Index(None, "status"),
)

# A device has one certificate that it has not used yet, and one that it uses and nothing supersedes; and of those that
# might have followed a certificate it has used one.
_partial("ix_certificates_unconfirmed", certificates.c.device, text("confirmed_at IS NULL AND status <> 'revoked'"))
_partial(
    "ix_certificates_current",
    certificates.c.device,
    text("confirmed_at IS NOT NULL AND superseded_at IS NULL AND status <> 'revoked'"),
)
_partial("ix_certificates_heir", certificates.c.predecessor, text("confirmed_at IS NOT NULL"))

# The highest CRL number of each issuer, durable before the CRL that carries it is signed.
crls = Table(
    "crls",
    metadata,
    Column("issuer_spki_sha256", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False, index=True),
    Column("actor", String(63), nullable=False),
    Column("kind", String(30), nullable=False),
    Column("subject", String(63), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
)

DEVICE_KEY, FACTORY_KEY = "device", "factory"

batches = Table(
    "batches",
    metadata,
    Column("batch", String(63), primary_key=True),
    Column("created_at", UtcTime, nullable=False),
)

# returned: the board came back and its identity has ended; the board is free for another one.
# registered_at: since when the gateway knows this identity; before that nothing may be burned with it.
units = Table(
    "units",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("batch", ForeignKey("batches.batch"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("key_origin", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("mac", String(17)),
    Column("claimed_by", Text),
    Column("port", Text),
    Column("reason", Text),
    Column("claimed_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("registered_at", UtcTime),
    # What its maker calls it, for labels and lists.
    Column("product", String(100), nullable=False, server_default=""),
    Column("hardware", String(100), nullable=False, server_default=""),
    Column("serial", String(63), nullable=False, server_default=""),
    _device_id(),
    _one_of("key_origin", (DEVICE_KEY, FACTORY_KEY)),
    _one_of("state", UNIT_STATES),
    CheckConstraint(text("(state = 'planned') = (mac IS NULL)"), name="mac_when_claimed"),
    CheckConstraint(text("mac IS NULL OR (length(mac) = 17 AND mac = lower(mac))"), name="mac_form"),
    UniqueConstraint("batch", "position"),
    Index(None, "batch", "state", "position"),
)
# One identity for a board, and one board for an identity, until the board comes back and that identity has ended.
_partial("ix_units_mac", units.c.mac, text("state <> 'returned'"))

FAILED, UNSEEN = "failed", "unseen"

# Every attempt to burn, for the record; what counts is the state of the unit.
# failed: cut off; unseen: burned and verified, but the device was not heard of in its test at the end of the line.
burns = Table(
    "burns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device", ForeignKey("units.device"), nullable=False, index=True),
    Column("mac", String(17), nullable=False),
    Column("port", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("result", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    _one_of("result", (BURNED, QUARANTINED, FAILED, UNSEEN)),
)

# Boards that got no identity, and why: quarantine for what has no unit. `mac` is NULL for a board that never answered.
refused_boards = Table(
    "refused_boards",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch", ForeignKey("batches.batch"), nullable=False, index=True),
    Column("mac", String(17)),
    Column("port", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("code", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)
