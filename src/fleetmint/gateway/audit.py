"""The promises of a gateway: its ledger, its revocation lists and the key of its CA."""

import stat
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.errors import StateError
from fleetmint.gateway import device_ca
from fleetmint.gateway.broker import alarms
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.config import Config
from fleetmint.gateway.crl_files import read_lists
from fleetmint.ledger import audit, early
from fleetmint.ledger.findings import RESTORE, Finding
from fleetmint.ledger.head import digest_at, head_in, read_head
from fleetmint.ledger.revocation import devices_by_serial, revoked_certificates
from fleetmint.ledger.succession import SUPERSEDED
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import load_certificates
from fleetmint.x509.chain import title
from fleetmint.x509.listeners import DEVICE
from fleetmint.x509.profiles import SKEW

_PUBLISH = "`sudo systemctl start fleetmint-crl` signs and publishes it"
_PRIVATE_KEY = b"PRIVATE KEY-----"
# The timer puts what has been superseded on the list.
_PATIENCE = timedelta(days=1)


def findings(config: Config, connection: Connection, now: datetime) -> tuple[Finding, ...]:
    """Return what is wrong on this gateway; empty when it keeps its promises."""
    found = list(audit.findings(connection))
    for name in (DEVICE, "factory"):
        found += _of_list(config, connection, name, now)
    found += [each.finding() for each in early.find(connection, now)]
    return (*found, *_of_keys(config), *_of_broker(config, now))


def _of_broker(config: Config, now: datetime) -> list[Finding]:
    """No device has taken more of the broker than is its own, these last days."""
    return [
        Finding(
            f"{alarm.who} in the broker: {alarm.what} ({alarm.count} times since {alarm.first}, last {alarm.last})",
            "`journalctl -u fleetmint-broker-watch` has the whole story; if the device is not to be trusted,"
            f" {commands.playbook('revoke.yml', device=alarm.who)}"
            if alarm.kind in ("retained", "session")
            else "make room: see mosquitto_memory_limit and mosquitto_retained_total in roles/mosquitto/defaults",
        )
        for alarm in alarms.recent(config.broker_alarms, now)
    ]


def _of_list(config: Config, connection: Connection, name: str, now: datetime) -> list[Finding]:
    """The CRL of the CA `name` is its own, has not ended, and holds every certificate that the ledger revokes."""
    path = config.crl(name)
    mend = _PUBLISH if name == DEVICE else str(commands.to_gateways())
    try:
        lists = read_lists(path, "CRL")
        issuers = load_certificates(config.trusted(name))
    except StateError as error:
        return [Finding(str(error), mend)]
    found = []
    for issuer in issuers:  # several while one CA takes the place of another
        if not any(revocation.signed_by(crl, issuer) for crl in lists):
            found.append(Finding(f"{path} holds no CRL of {title(issuer)}", mend))
    for crl in lists:
        signer = next((issuer for issuer in issuers if revocation.signed_by(crl, issuer)), None)
        if signer is None:
            found.append(Finding(f"{path} is not signed by the {name} CA of this gateway", mend))
        if revocation.usable_number(crl) is None:
            found.append(Finding(f"{path} has no CRL number of at most {revocation.MAX_NUMBER_OCTETS} octets", mend))
        if revocation.signed_at(crl) > now + SKEW:
            signed = f"{revocation.signed_at(crl):%Y-%m-%d %H:%M}Z"
            found.append(Finding(f"{path} was signed {signed}, which is to come: a clock ran ahead", mend))
        if compat.next_update(crl) <= now:
            found.append(Finding(f"{path} ended {compat.next_update(crl):%Y-%m-%d %H:%M}Z", mend))
        found += _of_head(connection, crl, str(path))
        listed = {entry.serial_number for entry in crl}
        # what another CA has signed is on the list of that one: of this gateway, or of another one on the same ledger
        wanted = revoked_certificates(connection, name, signer, now=now - _PATIENCE)
        # A renewal is no business of the controller's, which signs the other list when its play runs.
        due = [
            entry.serial
            for entry in wanted
            if entry.reason != SUPERSEDED or (name == DEVICE and entry.at <= now - _PATIENCE)
        ]
        missing = [serial for serial in due if serial not in listed]
        for serial, device in sorted(devices_by_serial(connection, missing).items(), key=lambda item: item[1]):
            by_hand = f"{commands.fleetmint('revoke', f'{serial:x}', '--ca', 'factory')}, then {mend}"
            finding = f"{path} does not revoke {serial:x} of {device}, which the ledger does"
            found.append(Finding(finding, mend if name == DEVICE else by_hand))
    return found


def _of_head(connection: Connection, crl: x509.CertificateRevocationList, path: str) -> list[Finding]:
    """The chain of events goes on from where it was when the list was signed."""
    value = revocation.ledger_head(crl)
    if value is None:
        return []  # signed by the version before, or on the controller
    try:
        then = head_in(value)
    except ValueError:
        return [Finding(f"{path} says in no known way what the chain of events was when it was signed", _PUBLISH)]
    if then.seq == 0 or digest_at(connection, then.seq) == then.digest:
        return []
    last = read_head(connection).seq
    what = f"there are {last}" if last < then.seq else f"event {then.seq} is another one now"
    return [
        Finding(
            f"{path} was signed when there were {then.seq} events, and {what}: the chain of events was cut, computed"
            " anew, or is of an older copy of the ledger",
            f"{RESTORE}, and ask on the controller with {commands.fleetmint('audit', '--ask-gateway')}",
        )
    ]


def _of_keys(config: Config) -> list[Finding]:
    """The keys of the device CAs are the only ones here, kept as is wanted, and only their owner may read them."""
    found = []
    places = device_ca.directories(config)
    keys = [key for place in places for key in keeping.files_of(place)]
    for plain in filter(None, (keeping.misplaced(config, place) for place in places)):
        what = f"the key of the device CA lies unencrypted in {plain}, and is to be {config.device_ca_key}"
        mend = f"{commands.playbook('gateway.yml')} removes it; whoever may have read it can sign as this CA"
        found.append(Finding(what, f"{mend}: docs/issuing-key.md"))
    for place in places:
        if (problem := keeping.unusable(config, place)) is not None:
            found.append(Finding(str(problem), "until then nothing is signed with it: docs/issuing-key.md"))
    for key in keys:
        if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
            found.append(Finding(f"others may read {key}", f"chmod 400 {key}, and think about who could have read it"))
    for path in _files(config.trust, config.crls, config.device_ca, config.device_crl.parent):
        if path not in keys and _PRIVATE_KEY in _content(path):
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
