"""`fleetmint revoke`: whatever a CA on this controller has issued."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import click

from fleetmint import commands
from fleetmint.choices import REASONS
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say
from fleetmint.cli.place import as_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.ca.identifier import Kind
    from fleetmint.site import in_force, revocation
    from fleetmint.site.client import open_gateway
    from fleetmint.site.gateway_crls import keep_crls


@click.command(
    epilog=examples(
        "fleetmint revoke alice@workshop --reason key_compromise",
        "fleetmint revoke lamp-000003",
        "fleetmint revoke stolen-laptop.crt",
        "fleetmint revoke 4f0c5c517c308e2e59beb76579424526a1b2c3d4 --ca operator",
        "fleetmint revoke inventory/home/state/ca/device-gateway/ca.crt --whole-ca",
    )
)
@click.argument("target", metavar="NAME|SERIAL|FILE", shell_complete=completion.revocable)
@site_option
@as_option
@click.option("--ca", "authority", type=click.Choice(["operator", "factory"]), help="Whose serial number it is.")
@click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True, help="Why.")
@click.option("--whole-ca", is_flag=True, help="Yes, revoke a CA and with it everything it issued.")
@check_option
@json_option
def revoke(
    target: str,
    site: Site,
    name: str | None,
    authority: str | None,
    reason: str,
    whole_ca: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Revoke NAME (a device, an operator, a station), a certificate by its SERIAL number or its FILE, or a CA.

    The CRL on this controller is new afterwards, and the gateways put it in force at once: ledger, nginx, broker and
    live sessions. Of a gateway that cannot be reached is said what puts it in force there; the exit code is then 1,
    and the same command may simply be run again. A server certificate cannot be revoked, because devices look at no
    CRL: the command says what to do instead.
    """
    hierarchy, now = site.hierarchy(), datetime.now(UTC)
    targets = revocation.find(hierarchy, site, target, authority)
    plan = revocation.plan(hierarchy, targets, reason, now, whole_ca=whole_ca)
    told: list[in_force.Told] = []
    unsigned: tuple[in_force.Told, ...] = ()
    if not check:
        devices = sorted({found.title for found in targets if found.is_device})
        done = in_force.carry_out(site, name, targets, plan, reason, devices=devices)
        told, unsigned = _told(list(done.told), targets), done.unsigned
        _keep_lists(site, name, told, now)
    by_gateway = any(each.changed for each in told)
    told += unsigned
    values = {
        "changed": by_gateway if told and all(found.on_gateway for found in targets) else plan.changed or by_gateway,
        "site": hierarchy.site,
        "reasons": list(plan.reasons),
        "revoked": [
            {"name": t.title, "serial": f"{t.serial:x}", "ca": str(t.authority or Kind.DEVICE)} for t in targets
        ],
        "gateways": in_force.values(told),
        "ship": commands.to_gateways().line,
    }
    if check:
        text = "; ".join(plan.reasons) or f"{target} is revoked already"
    else:
        lines = [] if unsigned else [revocation.outlook(hierarchy, each, told=bool(told)) for each in targets]
        lines += [in_force.in_words(told, _remedy(targets))] if told else []
        text = "\n".join(dict.fromkeys(lines))
    say(as_json, values, text)
    if any(each.problem for each in told):
        sys.exit(1)


def _keep_lists(site: Site, name: str | None, told: Sequence[in_force.Told], now: datetime) -> None:
    """Keep the lists that the gateways have signed: a Pi that dies tonight is restored from a backup of before."""
    for each in told:
        if not each.problem:
            with suppress(FleetmintError, OSError):  # it is in force; the audit fetches them, too, and says why not
                keep_crls(site, open_gateway(site, name, each.gateway), now)


def _told(told: list[in_force.Told], targets: Sequence[revocation.Target]) -> list[in_force.Told]:
    """Return what is to be said of what the gateways answered; raise FleetmintError when none of them can know it."""
    elsewhere = [found.title for found in targets if found.on_gateway]
    if not told and elsewhere:
        raise FleetmintError(f"{elsewhere[0]} was not revoked: this site has no gateway that could know it")
    for device in elsewhere:
        if all(device in each.unknown for each in told):
            asked = ", ".join(each.gateway for each in told)
            raise FleetmintError(f"{device} was not revoked: no gateway of this site knows it ({asked})")
        if any(not each.problem and device not in each.unknown for each in told):
            # the ledger of one gateway has it, and its list is that gateway's
            told = [each for each in told if device not in each.unknown and (each.answered or not each.problem)]
    return told


def _remedy(targets: Sequence[revocation.Target]) -> commands.Command:
    device = next((found.title for found in targets if found.is_device), None)
    return commands.to_gateways() if device is None else commands.playbook("revoke.yml", device=device)
