"""The promises of a gateway: its ledger, its revocation lists and the key of its CA."""

import stat
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import Connection

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.ledger import audit
from fleetmint.ledger.audit import Finding
from fleetmint.ledger.revocation import devices_by_serial, revoked_certificates
from fleetmint.pki import compat, revocation
from fleetmint.pki.authority import KEY, load_certificate
from fleetmint.service.config import Config

_PUBLISH = "`systemctl start fleetmint-crl` signs and publishes it"
_PRIVATE_KEY = b"PRIVATE KEY-----"


def findings(config: Config, connection: Connection, now: datetime) -> tuple[Finding, ...]:
    """Return what is wrong on this gateway; empty when it keeps its promises."""
    found = list(audit.findings(connection))
    for name in ("device", "factory"):
        found += _of_list(config, connection, name, now)
    return (*found, *_of_keys(config))


def _of_list(config: Config, connection: Connection, name: str, now: datetime) -> list[Finding]:
    """The CRL of the CA `name` is its own, has not ended, and holds every certificate that the ledger revokes."""
    path = config.crl(name)
    mend = _PUBLISH if name == "device" else "`ansible-playbook playbooks/gateway.yml --tags service,certificates`"
    try:
        crl = revocation.load_crl(files.read(path, "CRL"), str(path))
        issuer = load_certificate(config.trusted(name))
    except StateError as error:
        return [Finding(str(error), mend)]
    found = []
    if not revocation.signed_by(crl, issuer):
        found.append(Finding(f"{path} is not signed by the {name} CA of this gateway", mend))
    if compat.next_update(crl) <= now:
        found.append(Finding(f"{path} ended {compat.next_update(crl):%Y-%m-%d %H:%M}Z", mend))
    listed = {entry.serial_number for entry in crl}
    missing = [entry.serial for entry in revoked_certificates(connection, name) if entry.serial not in listed]
    for serial, device in sorted(devices_by_serial(connection, missing).items(), key=lambda item: item[1]):
        remedy = (
            mend if name == "device" else f"on the controller `fleetmint revoke {serial:x} --ca factory`, then {mend}"
        )
        found.append(Finding(f"{path} does not revoke {serial:x} of {device}, which the ledger does", remedy))
    return found


def _of_keys(config: Config) -> list[Finding]:
    """The key of the device CA is the only one here, and only its owner may read it."""
    found = []
    key = config.device_ca / KEY
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        found.append(Finding(f"others may read {key}", f"chmod 400 {key}, and think about who could have read it"))
    for path in _files(config.trust, config.crls, config.device_ca, config.device_crl.parent):
        if path != key and _PRIVATE_KEY in _content(path):
            found.append(
                Finding(
                    f"there is a private key in {path}, where none belongs",
                    "find out whose it is, delete it, and treat it as stolen: docs/recovery.md",
                )
            )
    return found


def _files(*directories: Path) -> Iterable[Path]:
    return sorted({path for directory in directories for path in directory.rglob("*") if path.is_file()})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # what this user may not read is not this user's to judge
