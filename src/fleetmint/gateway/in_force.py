"""Putting a revocation in force at once: ledger, the device CAs' lists, nginx and Mosquitto, live sessions.

Whoever revokes a device on this gateway does it with `revoke_devices`: a station at the operators' listener, the
command on the gateway, and by that the play.

The service may sign and may not touch the servers. It asks root over a socket that systemd listens on and only this
account may open: each connection starts `fleetmint gateway publish --answer`, which reads one JSON object,

    {"lists": {"factory": PEM, …}}

the newest lists of the CAs whose keys are on the controller, checks them as if nobody had, publishes, and answers with
what it did. What it cannot do stays owed, and the next run does it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Engine

from fleetmint.errors import FleetmintError, LedgerError, PublishError, RegistrationRefusedError, StateError
from fleetmint.gateway import crl_files, device_ca, local_socket
from fleetmint.gateway.clock import kept
from fleetmint.gateway.config import Config
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.local_socket import NoAnswerError
from fleetmint.ledger import reading, writing
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.revocation import Revocation, factory_certificates_of_revoked, revoke, revoke_listed
from fleetmint.x509 import revocation
from fleetmint.x509.listeners import DELIVERED

# Before uWSGI gives the request up; what is not done by then is done all the same, and asking again tells.
_SECONDS = 24.0


@dataclass(frozen=True)
class InForce:
    """What came of it; with `problems` the revocation is noted and the servers do not know of it yet."""

    devices: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "in_force": not self.problems,
            "revoked_by_lists": list(self.devices),
            "disconnected": list(self.disconnected),
            "kicked": list(self.disconnected),  # the name of one version before
            "restarted": list(self.restarted),
            "problems": list(self.problems),
        }


@dataclass(frozen=True)
class Revoked:
    """What revoking some devices came to.

    `unknown` are of another gateway. `unlisted` are serials, as they are shown, that the factory CA has to put on its
    list, by device: here they are shut out without that list, and elsewhere only with it.
    """

    found: tuple[Revocation, ...]
    unknown: tuple[str, ...]
    in_force: InForce
    unlisted: Mapping[str, Sequence[str]]

    def values(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "changed": any(each.changed for each in self.found),
            "unlisted": {device: list(serials) for device, serials in self.unlisted.items()},
            **self.in_force.values(),
        }


def revoke_devices(
    engine: Engine,
    config: Config,
    devices: Sequence[str],
    lists: Mapping[str, bytes],
    *,
    reason: str,
    now: datetime,
    actor: str,
) -> Revoked:
    """Revoke these devices and have it in force, with these `lists`: every path that this gateway can close is closed.

    Raises LedgerError when the ledger cannot be written.
    """
    found, unknown = [], []
    with writing(engine) as connection:
        for device in devices:
            try:
                found.append(revoke(connection, device, reason=reason, actor=actor, now=now))
            except LedgerError:
                raise
            except StateError:
                unknown.append(device)
    done = put_in_force(engine, config, lists, now=now, actor=actor)
    return Revoked(tuple(found), tuple(unknown), done, _unlisted(engine, config, {each.device for each in found}, now))


def _unlisted(engine: Engine, config: Config, devices: set[str], now: datetime) -> dict[str, list[str]]:
    with reading(engine) as connection:
        made = factory_certificates_of_revoked(connection, now)
    try:
        listed = {entry.serial_number for crl in crl_files.read_lists(config.crl("factory"), "CRL") for entry in crl}
    except StateError:
        listed = set()  # a list that cannot be read holds nobody out
    found: dict[str, list[str]] = {}
    for serial, device in made.items():
        if device in devices and serial not in listed:
            found.setdefault(device, []).append(serial_text(serial))
    return found


def read_lists(value: object) -> dict[str, bytes]:
    """Return the lists of a document by the name of their CA; raise RegistrationRefusedError when they are none."""
    if not isinstance(value, dict) or not all(
        name in DELIVERED and isinstance(text, str) and text.isascii() for name, text in value.items()
    ):
        raise RegistrationRefusedError(f"lists are PEM by the name of their CA: {', '.join(DELIVERED)}")
    return {name: text.encode() for name, text in value.items()}


def follow(engine: Engine, config: Config, data: bytes, now: datetime, actor: str) -> tuple[str, ...]:
    """Let the ledger follow a CRL of the factory CA, which the controller signs; return the devices that ended with it.

    Raises PublishError or StateError for a list that is no good.
    """
    lists = crl_files.checked_lists(config, "factory", data, now)
    reasons = {entry.serial: entry.reason for crl in lists for entry in revocation.entries(crl)}
    with writing(engine) as connection:
        return tuple(revoke_listed(connection, reasons, actor=actor, now=now))


def put_in_force(engine: Engine, config: Config, lists: Mapping[str, bytes], *, now: datetime, actor: str) -> InForce:
    """Sign what the ledger has revoked, and have everything published that is new, with these `lists`.

    What cannot be signed just now does not keep the servers from what they can be told.
    """
    devices: tuple[str, ...] = ()
    problems: list[str] = []
    try:
        if "factory" in lists:
            devices = follow(engine, config, lists["factory"], now, actor)
    except FleetmintError as error:
        problems.append(str(error))
    try:
        kept(config, lambda: now)
        plan_device_crl(engine, device_ca.authorities(config), config.device_crl, now=now).apply()
    except FleetmintError as error:
        problems.append(str(error))
    try:
        answer = _ask(config, lists)
        problems += map(str, answer["problems"])
        disconnected, restarted = tuple(map(str, answer["disconnected"])), tuple(map(str, answer["restarted"]))
        return InForce(devices, disconnected, restarted, tuple(dict.fromkeys(problems)))
    except FleetmintError as error:
        problems.append(str(error))
    except (KeyError, TypeError) as error:
        problems.append(f"what publishes the CRLs answers in no known way ({error})")
    return InForce(devices, problems=tuple(dict.fromkeys(problems)))


def _ask(config: Config, lists: Mapping[str, bytes]) -> Any:
    document = json.dumps({"lists": {name: data.decode() for name, data in lists.items()}}).encode()
    try:
        return local_socket.ask(config.publish_socket, document, _SECONDS)
    except NoAnswerError as error:
        raise PublishError(
            f"{config.publish_socket} does not publish the CRLs ({error}): `systemctl status 'fleetmint-publish*'`"
            " on the gateway says why"
        ) from error
