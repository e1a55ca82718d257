"""From a grant to a certificate: reserve, sign, store.

What will be signed is durable before it is signed, together with the use of the grant; what was signed is durable
before it is answered. Wherever it is cut, a retry with the same grant and key finds its row and goes on from there.
Signing lies between two transactions, so nobody waits for it.
"""

import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection

from fleetmint.errors import FleetmintError
from fleetmint.ledger import approvals, elsewhere, events, succession
from fleetmint.ledger.devices import Certificate, certificate_of, find_certificate, serial_text
from fleetmint.ledger.grants import (
    GraceGrant,
    Grant,
    GrantRefusedError,
    LiveGrant,
    Token,
    TokenGrant,
    check_certificate,
    find_token,
)
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    RESERVED,
    TO_MAC,
    USED,
    certificates,
    devices,
    public_keys,
    tokens,
)
from fleetmint.ledger.statement import Statement
from fleetmint.ledger.succession import Line

# What the events call it.
KINDS: Mapping[type[Grant], str] = {TokenGrant: "enrol", LiveGrant: "renew", GraceGrant: "recover"}

_KEY = Statement(select(public_keys).where(public_keys.c.spki_sha256 == bindparam("of")))
_TAKE_KEY = Statement(public_keys.insert(), ["spki_sha256", "device"])
_USE_TOKEN = Statement(
    update(tokens).where(tokens.c.token_sha256 == bindparam("of")).values(state=USED, used_at=bindparam("now"))
)
_ACTIVATE = Statement(update(devices).where(devices.c.device == bindparam("of")).values(status=ACTIVE))
_RESERVE = Statement(
    certificates.insert(),
    ["serial", "issuer", "device", "spki_sha256", "token_sha256", "status", "reserved_at", "predecessor"],
)
_STORE = Statement(
    update(certificates)
    .where(certificates.c.serial == bindparam("of"), certificates.c.status == RESERVED)
    .values(status=ACTIVE, der=bindparam("signed"), not_before=bindparam("begin"), not_after=bindparam("end"))
)
_OF_TOKEN = Statement(select(certificates).where(certificates.c.token_sha256 == bindparam("of")))
_BY_FACTORY = Statement(
    select(certificates.c.serial).where(
        # of its device, of which there is an index: a key belongs to one for ever
        certificates.c.device == bindparam("by"),
        certificates.c.spki_sha256 == bindparam("of"),
        certificates.c.issuer == "factory",
    )
)

# What a device has that is registered, or was when it changed its owner.
_NOTHING = Line(None, None, superseded=False)


class KeyRefusedError(FleetmintError):
    """The public key is not certified, whatever was shown. `code` is the reason for a machine."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NewKeyNeededError(FleetmintError):
    """The key was made by the factory, and a renewal has to bring one that the device has made."""


def reserve(
    connection: Connection, grant: Grant, *, spki_sha256: str, serial: int, overlap: timedelta, now: datetime
) -> Certificate:
    """Use the grant for this key and record the certificate that will be signed; or return what it was used for.

    `serial` is taken only for a new reservation. What the device uses stays good until the new one is in use, and
    `overlap` longer. The connection has to be one of `writing`. Raises GrantRefusedError, of which SupersededError is
    one, KeyRefusedError (key_in_use: of another device; key_retired: of an earlier life of this one) and
    NewKeyNeededError; of a token ApprovalPendingError and PolicyRefusedError, too.
    """
    if isinstance(grant, TokenGrant):
        token = find_token(connection, grant.device, grant.token_sha256)
        if token.state == USED:
            return _issued_for(connection, token, spki_sha256, now)
        _refuse_token(connection, grant, token, spki_sha256, now)
        device = token.device
        line = _NOTHING if token.status == REGISTERED else settled(connection, device, overlap, now)
    else:
        shown = check_certificate(connection, grant, now)
        device = shown.device
        _refuse_for(connection, grant, shown, spki_sha256)
        # whoever signs with its key has it, and its answer has arrived
        succession.confirm(connection, shown.serial, overlap=overlap, now=now)
        line = succession.line_of(connection, device)
        pending = line.unconfirmed
        if pending is not None and pending.spki_sha256 == spki_sha256 and _serves(pending, now):
            return pending
    take_key(connection, device, spki_sha256)
    ended = succession.make_room(connection, device, now) if line.unconfirmed or line.superseded else []
    token_sha256 = grant.token_sha256 if isinstance(grant, TokenGrant) else None
    if token_sha256 is not None:
        _USE_TOKEN.execute(connection, of=token_sha256, now=now)
        if token.status == REGISTERED:
            _ACTIVATE.execute(connection, of=device)
    reserved = Certificate(
        serial=serial,
        issuer="device",
        device=device,
        spki_sha256=spki_sha256,
        status=RESERVED,
        reserved_at=now,
        not_after=None,
        der=None,
    )
    predecessor = None if line.current is None else serial_text(line.current.serial)
    _RESERVE.execute(
        connection,
        serial=serial_text(serial),
        issuer=reserved.issuer,
        device=device,
        spki_sha256=spki_sha256,
        token_sha256=token_sha256,
        status=RESERVED,
        reserved_at=now,
        predecessor=predecessor,
    )
    events.append(
        connection,
        at=now,
        actor=device,
        kind=KINDS[type(grant)],
        subject=device,
        detail={
            "serial": serial_text(serial),
            "spki_sha256": spki_sha256,
            "predecessor": predecessor,
            "superseded": ended,
        },
    )
    return reserved


def store_signed(
    connection: Connection, reserved: Certificate, *, der: bytes, not_before: datetime, not_after: datetime
) -> Certificate:
    """Store the signed certificate of a reservation and return the row as it then is.

    When another worker has stored one for the same reservation, that one stays: the caller must answer what is
    returned, not what it signed. Raises GrantRefusedError when the reservation was revoked meanwhile.
    """
    values = {"of": serial_text(reserved.serial), "signed": der, "begin": not_before, "end": not_after}
    if _STORE.execute(connection, **values) == 1:
        return replace(reserved, status=ACTIVE, der=der, not_before=not_before, not_after=not_after)
    found = find_certificate(connection, reserved.serial)
    if found is None or found.status != ACTIVE:
        raise GrantRefusedError(f"the certificate is {'gone' if found is None else found.status}")
    return found


def is_made_by_factory(connection: Connection, device: str, spki_sha256: str) -> bool:
    """Whether a public key came to its device from the factory, with a certificate."""
    return _BY_FACTORY.first(connection, by=device, of=spki_sha256) is not None


def _refuse_token(connection: Connection, grant: TokenGrant, token: Token, spki_sha256: str, now: datetime) -> None:
    if token.expires_at <= now:
        raise GrantRefusedError("the token has expired")
    if token.status not in (REGISTERED, ACTIVE):
        raise GrantRefusedError(f"the device is {token.status}")
    if token.token_binding == TO_MAC:
        approvals.refuse_other_board(grant, token)
    approvals.refuse_unapproved(connection, token, spki_sha256)


def _refuse_for(connection: Connection, grant: LiveGrant | GraceGrant, shown: Certificate, spki_sha256: str) -> None:
    if isinstance(grant, GraceGrant):
        if not hmac.compare_digest(shown.spki_sha256, spki_sha256):
            raise GrantRefusedError("the request is for another key than the certificate")
    elif shown.spki_sha256 == spki_sha256 and is_made_by_factory(connection, shown.device, spki_sha256):
        raise NewKeyNeededError("the factory has made this key: make a new one for the renewal")


def settled(connection: Connection, device: str, overlap: timedelta, now: datetime) -> Line:
    """Return what the device has; the only certificate that was ever given to it counts as used.

    A device that speaks MQTT alone was never seen here, and must not lose its certificate for a token that it may lose.
    """
    line = succession.line_of(connection, device)
    if line.current is None and line.unconfirmed is not None:
        succession.confirm(connection, line.unconfirmed.serial, overlap=overlap, now=now)
        line = succession.line_of(connection, device)
    return line


def _serves(pending: Certificate, now: datetime) -> bool:
    """Whether what was reserved or signed before is good now: the clock that it was signed by may have run ahead."""
    begins = pending.reserved_at if pending.not_before is None else pending.not_before
    return begins <= now and (pending.not_after is None or now < pending.not_after)


def _refuse_elsewhere(connection: Connection, device: str, spki_sha256: str) -> None:
    there = elsewhere.FIND.first(connection, of=spki_sha256)
    if there is None:
        return
    if there.device != device:
        raise KeyRefusedError("key_in_use", "the public key belongs to a device of another gateway: make a new key")
    if there.retired:
        raise KeyRefusedError("key_retired", "the public key is of an earlier owner of this device: make a new key")


def take_key(connection: Connection, device: str, spki_sha256: str) -> None:
    """Let a key be of a device; raise KeyRefusedError when it is another's, or was given up."""
    known = _KEY.first(connection, of=spki_sha256)
    if known is None:
        _refuse_elsewhere(connection, device, spki_sha256)
        _TAKE_KEY.execute(connection, spki_sha256=spki_sha256, device=device)
    elif known.device != device:
        raise KeyRefusedError("key_in_use", "the public key belongs to another device: make a new key")
    elif known.retired_at is not None:
        raise KeyRefusedError("key_retired", "the public key is of an earlier owner of this device: make a new key")


def _issued_for(connection: Connection, token: Token, spki_sha256: str, now: datetime) -> Certificate:
    row = _OF_TOKEN.first(connection, of=token.token_sha256)
    if row is None or not hmac.compare_digest(row.spki_sha256, spki_sha256):
        raise GrantRefusedError("the token was used with another key")
    issued = certificate_of(row)
    if issued.status not in (RESERVED, ACTIVE):
        raise GrantRefusedError(f"the token's certificate is {issued.status}")
    if issued.not_after is not None and issued.not_after <= now:
        raise GrantRefusedError("the token's certificate has ended")
    if issued.superseded_at is not None:
        raise GrantRefusedError("a successor of the token's certificate is in use already")
    return issued
