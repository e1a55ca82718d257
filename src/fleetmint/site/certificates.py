"""Every certificate that the controller's state knows: found by name or serial.

issued/operators/NAME.crt         the operator CA's
issued/GATEWAY/SERVER.crt         the server CA's
issued/services/NAME.crt          the server CA's, of the maker's own servers
batches/BATCH/registration.json   the factory CA's, of devices whose key the factory makes
ca/NAME/{ca.crt,crl.pem}          the CAs themselves
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca import identifier
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId
from fleetmint.ca.leaves import superseded
from fleetmint.errors import StateError
from fleetmint.site.state import Site
from fleetmint.x509 import compat, names, revocation
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.inspect import days_left, public_key_text, time_text

OPERATOR, SERVER, SERVICE, FACTORY_DEVICE = "operator", "server", "service", "factory device"


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
    found = leaves(site)
    for path, row in _registered(site):
        if "certificate" in row:
            leaf = x509.load_der_x509_certificate(base64.b64decode(row["certificate"]))
            found.append(Issued(FACTORY_DEVICE, row["device"], identifier.FACTORY, leaf, path))
    return found


def leaves(site: Site) -> list[Issued]:
    """Return the certificates of operators, gateways and services, in use, superseded or revoked."""
    found = []
    aside = superseded(site.operators)
    for path in sorted(site.issued.glob("*/*.crt")) + aside:
        certificate = load_certificate(path)
        if path.is_relative_to(site.operators):
            name = names.common_name(certificate.subject) or path.stem
            found.append(Issued(OPERATOR, name, identifier.OPERATOR, certificate, path, path not in aside))
        elif path.parent == site.services:
            found.append(Issued(SERVICE, path.stem, identifier.SERVER, certificate, path))
        else:
            found.append(Issued(SERVER, path.parent.name, identifier.SERVER, certificate, path))
    return found


def names_of_gateways(site: Site) -> set[str]:
    """Return the host names, in lower case, and addresses that certificates of gateways hold; none without one here."""
    found: set[str] = set()
    for leaf in leaves(site):
        if leaf.kind == SERVER:
            held = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found |= {str(name.value).lower() for name in held}
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


def tree(hierarchy: Hierarchy, now: datetime) -> list[dict[str, Any]]:
    """Describe the CAs that are not retired, the root first, each with its depth in the tree.

    `phase` is empty for one in use, else incoming, outgoing or leaving (ca/identifier.py). `key` says
    what it is and whether it is on this machine: a CA without its key here can sign nothing here.
    """
    if not hierarchy.store.exists(ROOT):
        raise StateError(f"there is no CA in {hierarchy.directory}: run {commands.playbook('ca.yml')}")
    return [_authority(hierarchy, ca, now) for ca in hierarchy.store.identifiers()]


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
