"""Every certificate that the controller's state knows: found by name or serial, and by when it ends.

issued/operators/NAME.crt         the operator CA's
issued/GATEWAY/SERVER.crt         the server CA's
batches/BATCH/registration.json   the factory CA's, of devices whose key the factory makes
ca/NAME/{ca.crt,crl.pem}          the CAs themselves
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca import identifier
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId, Kind, Phase
from fleetmint.ca.leaves import revoked, superseded
from fleetmint.ca.rollover.steps import KINDS
from fleetmint.commands import Command
from fleetmint.errors import StateError
from fleetmint.site.state import Site
from fleetmint.x509 import compat, names, revocation
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.inspect import days_left, public_key_text, time_text
from fleetmint.x509.profiles import PROFILES

OPERATOR, SERVER, FACTORY_DEVICE, AUTHORITY, CRL = "operator", "server", "factory device", "CA", "CRL"


@dataclass(frozen=True)
class Issued:
    """One certificate and where it lies. `authority` issued it, or one of the same name that it took the place of.

    `in_use` is false for an operator's that was renewed or replaced.
    """

    kind: str
    name: str
    authority: CaId
    certificate: x509.Certificate
    path: Path
    in_use: bool = True


def certificates(site: Site) -> list[Issued]:
    """Return every leaf that the state knows, in use, superseded or revoked."""
    found = []
    aside = superseded(site.operators)
    for path in sorted(site.issued.glob("*/*.crt")) + aside:
        certificate = load_certificate(path)
        if path.is_relative_to(site.operators):
            name = names.common_name(certificate.subject) or path.stem
            found.append(Issued(OPERATOR, name, identifier.OPERATOR, certificate, path, path not in aside))
        else:
            found.append(Issued(SERVER, path.parent.name, identifier.SERVER, certificate, path))
    for path, row in _registered(site):
        if "certificate" in row:
            leaf = x509.load_der_x509_certificate(base64.b64decode(row["certificate"]))
            found.append(Issued(FACTORY_DEVICE, row["device"], identifier.FACTORY, leaf, path))
    return found


def devices_with_tokens(site: Site) -> set[str]:
    """Return the devices that make their key themselves: their gateway's device CA signs for them."""
    return {row["device"] for _, row in _registered(site) if "certificate" not in row}


def _registered(site: Site) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield what the registrations say of each device, in public; secrets of batches stay closed."""
    for path in site.registrations():
        try:
            for row in json.loads(files.read(path, "registration of the batch"))["devices"]:
                yield path, row
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{path} is damaged: {commands.playbook('factory.yml', batch='FILE')} writes it again"
            ) from error


class Renewal(NamedTuple):
    """What renews something, in words, and the commands for it, where there are any."""

    text: str
    commands: tuple[Command, ...] = ()


def tree(hierarchy: Hierarchy, now: datetime) -> list[dict[str, Any]]:
    """Describe the CAs that are not retired, the root first, each with its depth in the tree.

    `phase` is empty for one in use, else incoming, outgoing or leaving (ca/identifier.py). `key` says
    what it is and whether it is on this machine: a CA without its key here can sign nothing here.
    """
    if not hierarchy.store.exists(ROOT):
        raise StateError(f"there is no CA in {hierarchy.directory}: run {commands.playbook('ca.yml')}")
    return [_authority(hierarchy, ca, now) for ca in hierarchy.store.identifiers()]


def expiries(hierarchy: Hierarchy, site: Site, now: datetime) -> list[dict[str, Any]]:
    """Return everything that ends, the earliest first, each with what renews it. What is revoked is left out."""
    rows = []
    for ca in tree(hierarchy, now):
        rows.append(_ending(AUTHORITY, ca["title"], ca["not_after"], ca["days_left"], _renews_ca(ca)))
        if ca["crl"] is not None:
            crl = ca["crl"]
            rows.append(_ending(CRL, ca["title"], crl["next_update"], crl["days_left"], _renews_crl(ca)))
    for issued in certificates(site):
        if not issued.in_use or revoked(hierarchy, issued.authority, issued.certificate.serial_number) is not None:
            continue
        end = compat.not_after(issued.certificate)
        name = f"{issued.name} ({issued.path.stem})" if issued.kind == SERVER else issued.name
        rows.append(_ending(issued.kind, name, time_text(end), days_left(end, now), _renews(issued)))
    return sorted(rows, key=lambda row: (row["ends"], row["name"]))


def _authority(hierarchy: Hierarchy, ca: CaId, now: datetime) -> dict[str, Any]:
    certificate = hierarchy.store.certificate(ca)
    end = compat.not_after(certificate)
    crl = None
    if (listed := hierarchy.store.crl(ca)) is not None:
        ends = compat.next_update(listed)
        crl = {
            "number": revocation.usable_number(listed),
            "next_update": time_text(ends),
            "days_left": days_left(ends, now),
            "revoked": len(revocation.entries(listed)),
        }
    return {
        "name": str(ca),
        "phase": ca.phase.value,
        "title": names.common_name(certificate.subject) or str(ca),
        "depth": 0 if certificate.subject == certificate.issuer else 1,
        "serial": f"{certificate.serial_number:x}",
        "key": public_key_text(certificate.public_key()),
        "key_here": hierarchy.store.has_key(ca),
        "not_before": time_text(compat.not_before(certificate)),
        "not_after": time_text(end),
        "days_left": days_left(end, now),
        "crl": crl,
    }


def _ending(kind: str, name: str, ends: str, days: int, renewal: Renewal) -> dict[str, Any]:
    with_ = [command.line for command in renewal.commands]
    row = {"kind": kind, "name": name, "ends": ends, "days_left": days, "renewed_by": renewal.text}
    return {**row, "renew_with": with_}


def _renews_ca(ca: dict[str, Any]) -> Renewal:
    which = CaId.parse(ca["name"])
    if which.phase is not Phase.ACTIVE:
        return Renewal("nothing: another one takes its place")
    if which.kind is Kind.SERVER_NEXT:
        return Renewal("nothing yet: it waits sealed until the server CA is replaced")
    if which.kind not in KINDS:
        return Renewal("nothing yet")
    early = PROFILES[which.profile].renew_before.days // 365
    text = f"playbooks/ca_rollover.yml, from {early} years before; nothing does it by itself"
    return Renewal(text, (commands.playbook("ca_rollover.yml", ca_rollover=which.kind.value),))


def _renews_crl(ca: dict[str, Any]) -> Renewal:
    make = commands.playbook("ca.yml")
    if ca["name"] == str(ROOT):
        return Renewal("playbooks/ca.yml, with the root's key at hand", (make,))
    text = "playbooks/ca.yml as soon as its CA lasts longer, then playbooks/gateway.yml"
    return Renewal(text, (make, commands.to_gateways()))


def _renews(issued: Issued) -> Renewal:
    if issued.kind == SERVER:
        text = f"each run of playbooks/gateway.yml, once it is {PROFILES['server'].youth.days} days old"
        return Renewal(text, (commands.playbook("gateway.yml"),))
    if issued.kind == OPERATOR:
        text = f"each run of playbooks/ca.yml or operator add, once it is {PROFILES['operator'].youth.days} days old"
        return Renewal(text, (commands.fleetmint("operator", "add", issued.name),))
    return Renewal("nothing yet: devices do not renew their certificates")
