"""`fleetmint ca`: what the CAs of a site are, when what ends, and a CRL that was lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, days, examples, json_option, say, table
from fleetmint.cli.place import as_option, site_option
from fleetmint.plan import plain
from fleetmint.site.state import Site

with for_work():
    from fleetmint.ca.identifier import CaId, Phase
    from fleetmint.ca.restore import plan_restored
    from fleetmint.ca.rollover import left_to_do
    from fleetmint.site import certificates
    from fleetmint.site.client import open_gateway
    from fleetmint.site.expiries import expiries as all_expiries
    from fleetmint.site.expiries import of_gateway


@click.group(epilog=examples("fleetmint ca show", "fleetmint ca restore-crl operator.crl"))
def ca() -> None:
    """Look at the certificate authorities of a site, and take back a CRL that was lost."""


@ca.command(
    "show",
    epilog=examples(
        "fleetmint ca show",
        "fleetmint ca show --ask-gateway",
        "fleetmint ca show --json | jq '.expiries[] | select(.days_left < 60)'",
    ),
)
@site_option
@click.option("--ask-gateway", is_flag=True, help="With the devices and unused tokens that the gateways know.")
@as_option
@json_option
def show(site: Site, ask_gateway: bool, name: str | None, as_json: bool) -> None:
    """Show the tree of CAs, their CRLs, and everything that ends, the earliest first. Needs no passphrase."""
    hierarchy, now = site.hierarchy(), datetime.now(UTC)
    authorities = certificates.tree(hierarchy, now)
    expiries = all_expiries(hierarchy, site, now)
    if ask_gateway:
        expiries = [row for row in expiries if row["kind"] != certificates.FACTORY_DEVICE]  # the gateways know better
        for gateway in site.gateways:
            expiries += of_gateway(open_gateway(site, name, gateway), now)
        expiries.sort(key=lambda row: (row["ends"], row["name"]))
    left = left_to_do(hierarchy.directory)
    if as_json:
        found = {"site": hierarchy.site, "authorities": authorities, "rollovers": left, "expiries": expiries}
        say(True, {**found, "horizon": expiries}, "")  # the name of one version before
        return
    table(["CA", "key", "ends", "CRL", "next CRL by", "revoked"], [_row(row) for row in authorities])
    for sentence in left:
        click.echo(f"\nUnder way: {sentence}.")
    click.echo()
    table(
        ["ends", "left", "what", "renewed by"],
        [
            [row["ends"][:10], days(row["days_left"]), f"{row['kind']} {row['name']}", row["renewed_by"]]
            for row in expiries
        ],
    )
    soon = [line for row in expiries if row["due"] for line in row["renew_with"]]
    if soon:
        click.echo("\nWhat will lock somebody out before long is renewed by:")
        for line in dict.fromkeys(soon):
            click.echo(f"  {line}")


@ca.command(
    "restore-crl",
    epilog=examples(
        "curl -fO http://gateway.local/operator.crl",
        "fleetmint ca restore-crl operator.crl",
        "fleetmint ca restore-crl root.crl operator.crl factory.crl",
    ),
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@check_option
@site_option
@json_option
def restore_crl(paths: tuple[Path, ...], check: bool, site: Site, as_json: bool) -> None:
    """Take over CRLs of this site's CAs, such as a gateway gives out: for a controller that has lost its own.

    Each FILE has to be signed by the root, the operator CA or the factory CA, and may neither be older than the list
    that is here nor forget anybody whom that one revokes. Needs no passphrase. The next list goes on from its number.
    """
    plan = plan_restored(site.hierarchy(), paths, datetime.now(UTC))
    restored = plan.carry_out(check=check)
    lines = [f"{each.ca}: number {each.number}, {each.revoked} revoked" for each in restored.lists]
    told = {"changed": plan.changed, "reasons": list(plan.reasons), **plain(restored)}
    say(as_json, told, "\n".join([*(plan.reasons or ["nothing to do: these lists are here already"]), *lines]))


def _row(ca: dict[str, Any]) -> list[str]:
    phases = {
        Phase.PENDING: " (trusted, not in use yet)",
        Phase.PREVIOUS: " (old, still trusted)",
        Phase.DISTRUSTED: " (old, leaving)",
    }
    crl = ca["crl"]
    key = f"{ca['key']}{'' if ca['key_here'] else ', not here'}"
    name = f"{'  ' * ca['depth']}{ca['title']}{phases.get(Phase(ca['phase']), '')}"
    if crl is None:
        return [
            name,
            key,
            ca["not_after"][:10],
            "on its gateway" if CaId.parse(ca["name"]).is_device else "-",
            "-",
            "-",
        ]
    return [name, key, ca["not_after"][:10], str(crl["number"]), crl["next_update"][:10], str(crl["revoked"])]
