"""Bringing a revocation to the gateways, as the station, at once; or saying plainly that it is not in force yet."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fleetmint import commands
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.errors import FleetmintError
from fleetmint.printable import printable
from fleetmint.site import certificates, revocation
from fleetmint.site.client import open_gateway
from fleetmint.site.state import Site

# The CAs whose lists are signed on the controller and looked at on the gateways.
LISTED = ("root", "operator", "factory")


@dataclass(frozen=True)
class Told:
    """What a gateway made of it. `problem` is empty when it is in force there; `unknown` are devices of other ones."""

    gateway: str
    problem: str = ""
    unknown: tuple[str, ...] = ()
    changed: bool = False
    disconnected: tuple[str, ...] = ()
    restarted: bool = False


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


def end(site: Site, name: str | None, gateway: str, devices: Sequence[str], *, for_ever: bool = False) -> list[Told]:
    """Have it in force that what `devices` of a gateway had is revoked; `for_ever` revokes the devices themselves.

    What the factory CA issued to them goes on that CA's list, which every gateway is given.
    """
    reason, ending = "cessation_of_operation", devices if for_ever else []
    issued = certificates.certificates(site)
    made = {row.name for row in issued if row.kind == certificates.FACTORY_DEVICE} & set(devices)
    if not made:
        return tell(site, name, gateways=[gateway], devices=ending, reason=reason)
    try:
        hierarchy = site.hierarchy()
        targets = [found for device in sorted(made) for found in revocation.find(hierarchy, site, device)]
        revocation.plan(hierarchy, targets, reason, datetime.now(UTC)).apply()
    except FleetmintError as error:
        told = tell(site, name, gateways=[gateway], devices=ending, reason=reason)
        return [*told, Told("the factory CA", f"its CRL cannot be signed here: {error}")]
    return tell(site, name, devices=ending, reason=reason, authorities=["factory"])


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
        )
    except FleetmintError as error:
        return Told(gateway, str(error))
    except (KeyError, TypeError):
        return Told(gateway, "it answers in no known way")
