"""Whose sessions the broker has to end: asked by root, and read as the account that owns the ledger."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetmint.gateway.config import Config
from fleetmint.gateway.unprivileged import as_owner_of, refuse_odd_ledger, sqlite_path
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.adoption import revoked_since_forgotten
from fleetmint.ledger.revocation import (
    devices_by_serial,
    devices_that_go_on,
    ended_certificates,
    factory_certificates_of_revoked,
)


@dataclass(frozen=True)
class Owners:
    """Devices by the serials of their revoked certificates, those whose certificate has ended, and those that go on.

    Who goes on has another certificate, or gets one by itself: what is queued for it stays.
    """

    of_revoked: dict[int, str]
    of_ended: frozenset[str]
    going_on: frozenset[str]


@dataclass(frozen=True)
class Unlisted:
    """Revoked devices with certificates that no list of this gateway has: of the factory CA, or of a forgotten time."""

    by_factory: dict[int, str]
    forgotten: frozenset[str]


def unlisted(config: Config, now: datetime) -> Unlisted:
    """Return the revoked devices whose certificates may be on no list here."""
    path = sqlite_path(config.ledger)
    if path is None:
        found = _read_unlisted(config, now)
    else:
        refuse_odd_ledger(path)
        found = as_owner_of(path.parent, lambda: _read_unlisted(config, now), str(path))
    return Unlisted({int(serial): device for serial, device in found["factory"]}, frozenset(found["forgotten"]))


def _read_unlisted(config: Config, now: datetime) -> Any:
    engine = open_ledger(config.ledger)
    try:
        with reading(engine) as connection:
            made = factory_certificates_of_revoked(connection, now)
            forgotten = revoked_since_forgotten(connection, now)
    finally:
        engine.dispose()
    return {"factory": [[str(serial), device] for serial, device in made.items()], "forgotten": list(forgotten)}


def ask(config: Config, revoked: Collection[int], since: datetime | None, now: datetime) -> Owners:
    """Return the owners of these revoked certificates, and of those that ended after `since`, None: at any time."""
    path = sqlite_path(config.ledger)
    if path is None:
        return _owners(_read(config, revoked, since, now))
    refuse_odd_ledger(path)
    return _owners(as_owner_of(path.parent, lambda: _read(config, revoked, since, now), str(path)))


def _read(config: Config, revoked: Collection[int], since: datetime | None, now: datetime) -> dict[str, Any]:
    """Return it as plain data."""
    engine = open_ledger(config.ledger)
    try:
        with reading(engine) as connection:
            owners = devices_by_serial(connection, revoked)
            ended = ended_certificates(connection, since, now)
            going_on = devices_that_go_on(connection, {*owners.values(), *ended})
    finally:
        engine.dispose()
    return {
        "revoked": [[str(serial), device] for serial, device in owners.items()],
        "ended": sorted(ended),
        "going_on": sorted(going_on),
    }


def _owners(found: dict[str, Any]) -> Owners:
    return Owners(
        {int(serial): device for serial, device in found["revoked"]},
        frozenset(found["ended"]),
        frozenset(found["going_on"]),
    )
