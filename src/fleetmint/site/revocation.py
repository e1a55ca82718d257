"""Revoking whatever a name, a serial number or a file means: the right CA's CRL, or the sentence that says what to do.

A CRL reaches those who look at one: nginx and Mosquitto. Devices look at none, so a server certificate is not revoked.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import commands, files
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import CaId, Kind
from fleetmint.ca.leaves import revoked
from fleetmint.ca.operators import Client, plan_revoked_client
from fleetmint.errors import FleetmintError
from fleetmint.plan import Plan
from fleetmint.site import certificates
from fleetmint.site.state import Site
from fleetmint.x509 import names, revocation
from fleetmint.x509.authority import public_key_bytes
from fleetmint.x509.inspect import read_certificates

# A serial number of ours has 40 hexadecimal digits; anything that short could as well be a device id.
_SERIAL = re.compile(r"[0-9a-fA-F]{16,40}")
_SERVERS = (Kind.SERVER, Kind.SERVER_NEXT)


def _no_crl() -> str:
    anew = commands.playbook("gateway.yml")
    next_ca = commands.playbook("ca_rollover.yml", ca_rollover="server")
    return (
        "devices look at no CRL, so revoking a server certificate keeps nobody from trusting it. If its key is stolen:"
        f" give the gateway another name in the inventory and run {anew}, or bring the sealed next server CA into"
        f" service: {next_ca}. If it is only worn out: delete the key on the gateway, and {anew} makes a new one"
    )


@dataclass(frozen=True)
class Target:
    """What is to be revoked. `client` is set for an operator whose files are here; `certificate` when it is known.

    `authority` issued it; None is the device CA of a gateway, which one only the gateways know.
    """

    authority: CaId | None
    serial: int
    title: str
    certificate: x509.Certificate | None = None
    client: Client | None = None

    @property
    def is_device(self) -> bool:
        """Whether its title is the id of a device."""
        of_factory = self.authority is not None and self.authority.kind is Kind.FACTORY
        return self.on_gateway or (of_factory and self.title != f"{self.serial:x}")

    @property
    def on_gateway(self) -> bool:
        """Whether its gateway signs the CRL that it belongs on."""
        return self.authority is None or self.authority.is_device


def on_its_gateway(device: str) -> Target:
    """Return a device whose gateway signs for it, or of which nothing is known here: its gateway has its serials."""
    return Target(None, 0, names.device_id(device))


def find(hierarchy: Hierarchy, site: Site, text: str, authority: str | None = None) -> list[Target]:
    """Return what `text` means: a file, an operator, a device, or a serial number in hexadecimal.

    `authority` says whose serial it is when the state does not know it. Raises FleetmintError with what to do instead
    for what cannot be revoked here.
    """
    if os.path.isfile(text):  # noqa: PTH113 - Path.is_file raises for a text that is too long to be a name
        data = files.read(Path(text), "certificate")
        return _targets_of_file(hierarchy, site, read_certificates(data, text)[0], text)
    known = certificates.certificates(site)
    if "@" in text:
        found = [row for row in known if row.name == names.operator_name(text)]
        if not found:
            raise FleetmintError(f"there is no operator {text}: {commands.fleetmint('operator', 'list')} shows who is")
        return [_target(hierarchy, row) for row in found]
    by_name = [row for row in known if row.name == text]
    if by_name:
        return [_target(hierarchy, row) for row in by_name]
    serial = text.replace(":", "")
    if _SERIAL.fullmatch(serial):
        return _by_serial(hierarchy, known, revocation.serial_number(serial), authority)
    return [on_its_gateway(text)]


def plan(
    hierarchy: Hierarchy, targets: Sequence[Target], reason: str, now: datetime, *, whole_ca: bool = False
) -> Plan[None]:
    """Plan the CRLs. A CA is revoked with `whole_ca` only, since everything it issued ends with it."""
    plans = [_plan(hierarchy, target, reason, now, whole_ca) for target in targets]

    def apply() -> None:
        # One after the other and planned again: the second entry of a CRL builds on the first.
        for target in targets:
            _plan(hierarchy, target, reason, now, whole_ca).apply()

    return Plan(
        tuple(dict.fromkeys(sentence for one in plans for sentence in one.reasons)),
        apply,
        "".join(one.before for one in plans),
        "".join(one.after for one in plans),
    )


def outlook(hierarchy: Hierarchy, target: Target, *, told: bool = False) -> str:
    """Say where the revocation is now and, unless the gateways are told, what brings it to them."""
    if target.authority is None or target.authority.is_device:
        return f"{target.title} of the site {hierarchy.site} is its gateway's to revoke."
    number = revocation.crl_number(hierarchy.store.record(target.authority))
    text = (
        f"{target.title} is revoked at the site {hierarchy.site}: CRL number {number} of the {target.authority} CA,"
        " here on the controller."
    )
    if told:
        return text
    text += f" The gateways refuse it after {commands.to_gateways()}"
    if target.authority.kind is Kind.FACTORY:
        also = commands.playbook("revoke.yml", device=target.title)
        text += f"; {also} does that and also ends it in the ledger"
    elif target.authority.kind in (Kind.ROOT, Kind.OPERATOR):
        text += ", which restarts the broker to end its live sessions"
    return text


def _plan(hierarchy: Hierarchy, target: Target, reason: str, now: datetime, whole_ca: bool) -> Plan[None]:
    issuer = target.authority
    if issuer is None or issuer.is_device:
        return Plan((f"revoke {target.title} on its gateway",))
    if issuer.kind in _SERVERS or (issuer.is_root and target.title.startswith(Kind.SERVER)):
        raise FleetmintError(f"{target.title} was not revoked: {_no_crl()}")
    if issuer.is_root and not whole_ca:
        raise FleetmintError(
            f"{target.title} is a CA, and everything it issued ends with it: give --whole-ca if that is what you want"
        )
    if target.client is not None:
        return plan_revoked_client(hierarchy, target.client, reason, now)
    if revoked(hierarchy, issuer, target.serial) is not None:
        return Plan()
    return plan_authority_crl(hierarchy, issuer, [target.serial], now, reason)


def _targets_of_file(hierarchy: Hierarchy, site: Site, certificate: x509.Certificate, text: str) -> list[Target]:
    authority = hierarchy.store.issuer_of(certificate)
    if authority is None:
        raise FleetmintError(f"{text} was not issued by a CA in {hierarchy.directory}: only its own CA can revoke it")
    title = names.common_name(certificate.subject) or f"{certificate.serial_number:x}"
    if authority.is_root:
        if certificate.subject == certificate.issuer:
            raise FleetmintError("the root cannot be revoked: nobody is above it. Make a new one and roll over to it")
        of_ca = _targets_of_ca(hierarchy, certificate)
        return of_ca or [Target(authority, certificate.serial_number, title, certificate)]
    for row in certificates.certificates(site):
        if row.certificate == certificate:
            return [_target(hierarchy, row)]
    return [Target(authority, certificate.serial_number, title, certificate)]


def _targets_of_ca(hierarchy: Hierarchy, certificate: x509.Certificate) -> list[Target]:
    """Return every certificate of a CA that is here: while a root is replaced its key has one of each root."""
    key = public_key_bytes(certificate)
    store = hierarchy.store
    for ca in store.issuing():
        found = store.trusted(ca)
        if key in map(public_key_bytes, found):
            return [
                Target(authority, each.serial_number, ca.name, each)
                for each in found
                if (authority := store.issuer_of(each)) is not None
            ]
    return []


def _target(hierarchy: Hierarchy, row: certificates.Issued) -> Target:
    client = None
    if row.kind == certificates.OPERATOR:
        client = Client(row.name, row.certificate, row.path, "", has_key=True, in_use=row.in_use)
    authority = hierarchy.store.issuer_of(row.certificate) or row.authority
    return Target(authority, row.certificate.serial_number, row.name, row.certificate, client)


def _by_serial(
    hierarchy: Hierarchy, known: Sequence[certificates.Issued], serial: int, authority: str | None
) -> list[Target]:
    found = [_target(hierarchy, row) for row in known if row.certificate.serial_number == serial]
    if found:
        return found
    if authority is None:
        raise FleetmintError(
            f"nothing here has the serial number {serial:x}: say which CA issued it with --ca operator or --ca factory"
            f" (for a device of a gateway's CA run {commands.playbook('revoke.yml', device='ID')})"
        )
    # which one of that name issued it is not known: it goes on the list of each
    issuers = hierarchy.store.generations(CaId.parse(authority))
    return [Target(issuer, serial, f"{serial:x}") for issuer in issuers]
