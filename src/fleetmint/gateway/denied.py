"""Devices that the broker has to keep out without a list: revoked here, with a certificate of the factory CA.

The key of that CA is on the controller, and so its list is signed there. Until the list comes, the broker would let the
certificate in and the rules of its listener would let it speak. So its name is denied everything at the end of those
rules: a rule for a user counts before the ones for all. Who connects nevertheless hears nothing and is not heard.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from fleetmint import files
from fleetmint.gateway.config import Config
from fleetmint.x509 import names

_BEGIN = """
# Revoked on this gateway, and not on the list of the factory CA yet. Whatever follows is written by publishing.
"""


def rules_path(config: Config) -> Path:
    """Return the file of the rules of the broker's listener for devices."""
    return config.mosquitto / "devices.acl"


def with_denied(rules: str, devices: Iterable[str]) -> str:
    """Return the rules with these devices denied, and no others."""
    own = rules.partition(_BEGIN)[0]
    denied = [f"\nuser {names.device_id(device)}\ntopic deny #\n" for device in sorted(set(devices))]
    return f"{own}{_BEGIN}{''.join(denied)}" if denied else own


def write_rules(path: Path, rules: str) -> None:
    """Replace the rules; the file stays its owner's, who is the broker."""
    before = path.stat()
    # before it gets its name: a broker that cannot read its rules does not start
    owner = (before.st_uid, before.st_gid) if os.geteuid() == 0 else None
    files.write_atomically(path, rules.encode(), before.st_mode & 0o777, owner)
