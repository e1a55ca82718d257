"""Bringing a revocation to the gateways, as the station, at once; or saying plainly that it is not in force yet."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fleetmint import commands
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.errors import FleetmintError
from fleetmint.plan import Plan
from fleetmint.printable import printable
from fleetmint.site import certificates, revocation
from fleetmint.site.client import open_gateway
from fleetmint.site.state import Site

# The CAs whose lists are signed on the controller and looked at on the gateways.
LISTED = ("root", "operator", "factory")


@dataclass(frozen=True)
class Told:
    """What a gateway made of it. `problem` is empty when it is in force there; `unknown` are devices of other ones.

    `unlisted` are serials of the factory CA that its list there does not have, by device.
    """

    gateway: str
    problem: str = ""
    unknown: tuple[str, ...] = ()
    changed: bool = False
    disconnected: tuple[str, ...] = ()
    restarted: bool = False
    unlisted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    answered: bool = True


def tell(
    site: Site,
    name: str | None,
    *,
    gateways: Sequence[str] = (),
    devices: Sequence[str] = (),
    reason: str = "unspecified",
    authorities: Collection[str] = (),
) -> list[Told]:
    """Have each gateway (all of the site by default) revoke `devices` and take the lists of `authorities`.

    `name` is the operator to appear as. Raises nothing for a gateway that is away.
    """
    return [_tell(site, name, gateway, devices, reason, authorities) for gateway in gateways or site.gateways]


@dataclass(frozen=True)
class Done:
    """What came of a revocation: at each gateway, and at a CA whose list could not be signed here, if that is so."""

    told: tuple[Told, ...]
    unsigned: tuple[Told, ...] = ()

    @property
    def all(self) -> tuple[Told, ...]:
        """Both."""
        return (*self.told, *self.unsigned)


def carry_out(
    site: Site,
    name: str | None,
    targets: Sequence[revocation.Target],
    plan: Plan[None],
    reason: str,
    *,
    gateways: Sequence[str] = (),
    devices: Sequence[str] = (),
) -> Done:
    """Sign the lists of `plan`, which is about `targets`, and have it in force at the gateways; `devices` end with it.

    A list of the factory CA that cannot be signed here does not keep the gateways from shutting its device out. And
    what a gateway knows to be of that CA, and this controller does not, is put on that list, too.
    """
    unsigned: tuple[Told, ...] = ()
    authorities = {found.authority.name for found in targets if found.authority is not None} & set(LISTED)
    try:
        plan.apply()
    except FleetmintError as error:
        if not any(found.is_device for found in targets):
            raise
        unsigned, authorities = (_unsigned(error),), set()
    # a list is for all of them
    chosen = () if authorities else gateways
    told = tell(site, name, gateways=chosen, devices=devices, reason=reason, authorities=authorities)
    missing = {serial for each in told for serials in each.unlisted.values() for serial in serials}
    if missing and not unsigned:
        try:
            _sign_for_factory(site, missing, reason)
            told = _joined(told, tell(site, name, devices=devices, reason=reason, authorities=["factory"]))
        except FleetmintError as error:
            unsigned = (_unsigned(error),)
    return Done(tuple(told), unsigned)


def _unsigned(error: FleetmintError) -> Told:
    text = "its CRL cannot be signed here, and until then gateways refuse the device by their ledger"
    return Told("the factory CA", f"{text}: {error}")


def _sign_for_factory(site: Site, serials: Iterable[str], reason: str) -> None:
    hierarchy = site.hierarchy()
    for serial in sorted(serials):
        # which generation issued it is not known here: it goes on the list of each
        targets = revocation.find(hierarchy, site, serial, "factory")
        revocation.plan(hierarchy, targets, reason, datetime.now(UTC)).apply()


def _joined(first: Sequence[Told], then: Sequence[Told]) -> list[Told]:
    """Return what was told at last, with what came of the first time at the same gateway."""
    before = {each.gateway: each for each in first}
    return [
        replace(
            each,
            changed=each.changed or before[each.gateway].changed,
            disconnected=tuple(dict.fromkeys((*before[each.gateway].disconnected, *each.disconnected))),
        )
        if each.gateway in before
        else each
        for each in then
    ]


def end(site: Site, name: str | None, gateway: str, devices: Sequence[str], *, for_ever: bool = False) -> list[Told]:
    """Have it in force that what `devices` of a gateway had is revoked; `for_ever` revokes the devices themselves.

    What the factory CA issued to them goes on that CA's list, which every gateway is given.
    """
    reason, ending = "cessation_of_operation", devices if for_ever else []
    issued = certificates.certificates(site)
    made = {row.name for row in issued if row.kind == certificates.FACTORY_DEVICE} & set(devices)
    targets: list[revocation.Target] = []
    plan = Plan()
    if made:
        try:
            hierarchy = site.hierarchy()
            targets = [found for device in sorted(made) for found in revocation.find(hierarchy, site, device)]
            plan = revocation.plan(hierarchy, targets, reason, datetime.now(UTC))
        except FleetmintError as error:
            told = tell(site, name, gateways=[gateway], devices=ending, reason=reason)
            return [*told, _unsigned(error)]
    return [*carry_out(site, name, targets, plan, reason, gateways=[gateway], devices=ending).all]


def in_words(told: Sequence[Told], remedy: commands.Command) -> str:
    """Return a line for each gateway: what is in force there, or what puts it in force."""
    lines = []
    for each in told:
        if each.problem:
            lines.append(f"NOT in force yet at {each.gateway}: {printable(each.problem)}. Run {remedy}.")
            continue
        line = f"In force at {each.gateway}"
        if each.disconnected:
            line += f"; ended the sessions of {', '.join(map(printable, each.disconnected))}"
        if each.restarted:
            line += "; restarted the broker, which ends the sessions of revoked operators"
        lines.append(f"{line}.")
    return "\n".join(lines)


def values(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [{"gateway": each.gateway, "in_force": not each.problem, "problem": each.problem} for each in told]


def _tell(
    site: Site,
    name: str | None,
    gateway: str,
    devices: Sequence[str],
    reason: str,
    authorities: Collection[str],
) -> Told:
    try:
        lists = {each: gateway_file(site.ca_directory, gateway, f"{each}.crl").decode() for each in authorities}
        document = json.dumps({"devices": list(devices), "reason": reason, "lists": lists}).encode()
        answer = open_gateway(site, name, gateway).post("/v1/revocations", document)
        return Told(
            gateway,
            "; ".join(map(str, answer["problems"])),
            tuple(answer["unknown"]),
            bool(answer["changed"]),
            tuple(answer["disconnected"] if "disconnected" in answer else answer["kicked"]),
            bool(answer["restarted"]),
            {str(device): list(map(str, serials)) for device, serials in answer.get("unlisted", {}).items()},
        )
    except FleetmintError as error:
        return Told(gateway, str(error), answered=False)
    except (KeyError, TypeError):
        return Told(gateway, "it answers in no known way")
