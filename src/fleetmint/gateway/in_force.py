"""Putting a revocation in force at once: ledger, the device CAs' lists, nginx and Mosquitto, live sessions.

The service may sign and may not touch the servers. It asks root over a socket that systemd listens on and only this
account may open: each connection starts `fleetmint gateway publish --answer`, which reads one JSON object,

    {"lists": {"factory": PEM, …}}

the newest lists of the CAs whose keys are on the controller, checks them as if nobody had, publishes, and answers with
what it did. What it cannot do stays owed, and the next run does it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Engine

from fleetmint.errors import FleetmintError, PublishError, RegistrationRefusedError
from fleetmint.gateway import crl_files, device_ca, local_socket
from fleetmint.gateway.clock import kept
from fleetmint.gateway.config import Config
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.local_socket import NoAnswerError
from fleetmint.ledger import writing
from fleetmint.ledger.revocation import revoke_listed
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
    """Sign what the ledger has revoked, and have everything published that is new, with these `lists`."""
    devices: tuple[str, ...] = ()
    try:
        if "factory" in lists:
            devices = follow(engine, config, lists["factory"], now, actor)
        kept(config, lambda: now)
        plan_device_crl(engine, device_ca.authorities(config), config.device_crl, now=now).apply()
        answer = _ask(config, lists)
        return InForce(
            devices,
            tuple(map(str, answer["disconnected"])),
            tuple(map(str, answer["restarted"])),
            tuple(map(str, answer["problems"])),
        )
    except FleetmintError as error:
        return InForce(devices, problems=(str(error),))
    except (KeyError, TypeError) as error:
        return InForce(devices, problems=(f"what publishes the CRLs answers in no known way ({error})",))


def _ask(config: Config, lists: Mapping[str, bytes]) -> Any:
    document = json.dumps({"lists": {name: data.decode() for name, data in lists.items()}}).encode()
    try:
        return local_socket.ask(config.publish_socket, document, _SECONDS)
    except NoAnswerError as error:
        raise PublishError(
            f"{config.publish_socket} does not publish the CRLs ({error}): `systemctl status 'fleetmint-publish*'`"
            " on the gateway says why"
        ) from error
