"""`fleetmint revoke`: whatever a CA on this controller has issued."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.choices import REASONS
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.site import open_hierarchy, state_option

with for_work():
    from fleetmint.factory import withdraw


@click.command(
    epilog=examples(
        "fleetmint revoke alice@workshop --reason key_compromise",
        "fleetmint revoke lamp-000003",
        "fleetmint revoke stolen-laptop.crt",
        "fleetmint revoke 4f0c5c517c308e2e59beb76579424526a1b2c3d4 --ca operator",
        "fleetmint revoke inventory/home/state/ca/device-gateway/ca.crt --whole-ca",
    )
)
@click.argument("target", metavar="NAME|SERIAL|FILE")
@state_option
@click.option("--ca", "authority", type=click.Choice(["operator", "factory"]), help="Whose serial number it is.")
@click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True, help="Why.")
@click.option("--whole-ca", is_flag=True, help="Yes, revoke a CA and with it everything it issued.")
@click.option("--check", is_flag=True, help="Say what would change, and change nothing.")
@json_option
def revoke(
    target: str, state: Path, authority: str | None, reason: str, whole_ca: bool, check: bool, as_json: bool
) -> None:
    """Revoke a certificate: an operator's, a station's, that of a device whose key the factory made, or a CA's.

    The CRL on this controller is new afterwards; playbooks/gateway.yml brings it to the gateways. Devices that made
    their key themselves are revoked on their gateway, with playbooks/revoke.yml. A server certificate cannot be
    revoked, because devices look at no CRL: the command says what to do instead.
    """
    hierarchy, now = open_hierarchy(state), datetime.now(UTC)
    targets = withdraw.find(hierarchy, state, target, authority)
    plan = withdraw.plan(hierarchy, targets, reason, now, whole_ca=whole_ca)
    if not check:
        plan.apply()
    values = {
        "changed": plan.changed,
        "site": hierarchy.site,
        "reasons": list(plan.reasons),
        "revoked": [{"name": t.title, "serial": f"{t.serial:x}", "ca": t.authority} for t in targets],
        "ship": commands.to_gateways().line,
    }
    if check:
        text = "; ".join(plan.reasons) or f"{target} is revoked already"
    else:
        text = "\n".join(dict.fromkeys(withdraw.outlook(hierarchy, found) for found in targets))
    say(as_json, values, text)
