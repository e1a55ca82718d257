"""What ends on a gateway, and what of it will lock somebody out before long: the look that its timer takes every day.

certificates   of the CAs that it trusts, of its two servers, and the anchors of the devices' trust bundle
CRLs           without a good one for each CA of a chain a listener lets nobody in
tokens         of devices that have never enrolled
devices        a device renews itself: it is named when it has not
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.errors import StateError
from fleetmint.gateway.config import Config
from fleetmint.gateway.crl_files import read_lists
from fleetmint.ledger.devices import Device, list_devices
from fleetmint.ledger.schema import ACTIVE, QUARANTINED, REGISTERED, RETURNED
from fleetmint.trust import bundle
from fleetmint.x509 import compat, names
from fleetmint.x509.authority import load_certificates
from fleetmint.x509.chain import title
from fleetmint.x509.expiries import Ending, is_late, sentence

CA, ANCHOR, CRL, SERVER, DEVICE, TOKEN = "CA", "anchor", "CRL", "server", "device", "token"
TRUSTED = ("root", "server", "operator", "factory", "device")
LISTED = ("root", "operator", "factory", "device")
# A token that ended so long ago is in a board that nobody misses.
_GONE = timedelta(days=90)


@dataclass(frozen=True)
class Found:
    """What ends here. `damaged` are sentences about what could not be read, `late` devices that have not renewed."""

    endings: tuple[Ending, ...]
    late: tuple[str, ...]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Due:
    """One thing that somebody has to see to: `key` stays the same while nothing new is to be said of it."""

    key: str
    text: str
    remedy: tuple[str, ...]


def find(config: Config, connection: Connection, now: datetime) -> Found:
    """Return everything that ends on this gateway, the earliest first."""
    endings, damaged = of_files(config)
    devices = list_devices(connection)
    endings += _of_devices(devices)
    late = [each.device for each in devices if _is_late(config, each, now)]
    return Found(tuple(sorted(endings, key=lambda each: (each.ends, each.name))), tuple(late), tuple(damaged))


def without_ledger(config: Config, reason: str) -> Found:
    """Return what ends beside the ledger, which cannot be read for this reason."""
    endings, damaged = of_files(config)
    return Found(tuple(sorted(endings, key=lambda each: (each.ends, each.name))), (), (*damaged, reason))


def of_files(config: Config) -> tuple[list[Ending], list[str]]:
    """Return what ends beside the ledger, and sentences about what could not be read."""
    endings: list[Ending] = []
    damaged: list[str] = []
    for part in (_of_authorities, _of_anchors, _of_lists, _of_servers):
        try:
            endings += part(config)
        except (OSError, StateError, ValueError) as error:  # what else ends has to be said all the same
            damaged.append(str(error))
    return endings, damaged


def due(found: Found, now: datetime) -> tuple[Due, ...]:
    """Return what of it somebody has to see to: single things first, then devices in one line each."""
    lines = [Due(f"damaged: {each}", each, (str(commands.gateway("audit")),)) for each in found.damaged]
    tokens = []
    for ending in found.endings:
        if not ending.is_due(now):
            continue
        if ending.kind == TOKEN:
            tokens.append(ending)
        else:
            over = "ended" if ending.ends <= now else "ends"
            lines.append(Due(f"{ending.kind} {ending.name} {over}", sentence([ending], now), ending.remedy))
    fresh = [ending for ending in tokens if now - ending.ends <= _GONE]
    if fresh:
        word = "devices that have" if len(fresh) > 1 else "device that has"
        text = f"{len(fresh)} {word} never enrolled, and the token of {fresh[0].name} {_end(fresh[0], now)}"
        lines.append(Due("tokens", text, (str(commands.fleetmint("devices", "--unused-tokens")),)))
    if found.late:
        number = len(found.late)
        text = f"{number} devices have not renewed" if number > 1 else f"{found.late[0]} has not renewed"
        lines.append(Due("late", text, (str(commands.fleetmint("devices", "--not-renewed")),)))
    return tuple(lines)


def _end(ending: Ending, now: datetime) -> str:
    return sentence([ending], now).removeprefix(f"{ending.kind} {ending.name} ")


def _of_authorities(config: Config) -> Iterator[Ending]:
    for name in TRUSTED:
        yield from _certificates(CA, load_certificates(config.trusted(name)), str(commands.fleetmint("ca", "show")))


def _of_anchors(config: Config) -> Iterator[Ending]:
    if config.trust_bundle.exists():
        anchors = [x509.load_der_x509_certificate(each) for each in bundle.load(config.trust_bundle).anchors]
        yield from _certificates(ANCHOR, anchors, str(commands.fleetmint("ca", "show")))


def _certificates(kind: str, found: Sequence[x509.Certificate], remedy: str) -> Iterator[Ending]:
    """Yield those of one file: they take the place of each other, so that only the one that lasts longest is due."""
    last = max(compat.not_after(each) for each in found)
    for each in found:
        begins, ends = compat.not_before(each), compat.not_after(each)
        yield Ending(kind, title(each), ends, begins, (remedy,), replaced=ends < last)


def _of_lists(config: Config) -> Iterator[Ending]:
    for name in LISTED:
        mend = (
            ("`sudo systemctl start fleetmint-crl`",)
            if name == "device"
            else (str(commands.playbook("ca.yml")), str(commands.to_gateways()))
        )
        for crl in read_lists(config.crl(name), "CRL"):
            yield Ending(CRL, _issuer(crl), compat.next_update(crl), compat.last_update(crl), mend)


def _issuer(crl: x509.CertificateRevocationList) -> str:
    return names.common_name(crl.issuer) or crl.issuer.rfc4514_string()


def _of_servers(config: Config) -> Iterator[Ending]:
    for path in (config.nginx / "nginx.crt", config.mosquitto / "mosquitto.crt"):
        if not os.access(path.parent, os.X_OK):
            path = config.served / path.name
        elif not path.exists():
            continue  # the play that brings it has not been here yet
        leaf = load_certificates(path)[0]
        begins, ends = compat.not_before(leaf), compat.not_after(leaf)
        yield Ending(SERVER, f"{config.gateway} ({path.stem})", ends, begins, (str(commands.playbook("gateway.yml")),))


def _of_devices(devices: tuple[Device, ...]) -> Iterator[Ending]:
    for each in devices:
        if each.status == ACTIVE and each.not_after is not None:
            yield Ending(DEVICE, each.device, each.not_after, each.not_before, replaced=True)
        elif each.status == REGISTERED and each.token_expires is not None:
            gone = each.result in (QUARANTINED, RETURNED)
            yield Ending(TOKEN, each.device, each.token_expires, replaced=gone)


def _is_late(config: Config, device: Device, now: datetime) -> bool:
    """Whether a device should have renewed by now, and can still come back by itself."""
    if device.status != ACTIVE or device.not_after is None or now > device.not_after + config.grace:
        return False
    return is_late(device.not_before, device.not_after, now)
