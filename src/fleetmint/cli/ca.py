"""`fleetmint ca`: what the CAs of a site are, and when what ends."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint.cli.output import days, examples, json_option, say, table
from fleetmint.cli.site import open_hierarchy, state_option
from fleetmint.factory import issued


@click.group()
def ca() -> None:
    """Look at the certificate authorities of a site."""


@ca.command(
    "show", epilog=examples("fleetmint ca show", "fleetmint ca show --json | jq '.horizon[] | select(.days_left < 60)'")
)
@state_option
@json_option
def show(state: Path, as_json: bool) -> None:
    """Show the tree of CAs, their CRLs, and everything that ends, the earliest first. Needs no passphrase."""
    hierarchy, now = open_hierarchy(state), datetime.now(UTC)
    authorities = issued.tree(hierarchy, now)
    horizon = issued.horizon(hierarchy, state, now)
    if as_json:
        say(True, {"site": hierarchy.site, "authorities": authorities, "horizon": horizon}, "")
        return
    table(["CA", "key", "ends", "CRL", "next CRL by", "revoked"], [_row(row) for row in authorities])
    click.echo()
    table(
        ["ends", "left", "what", "renewed by"],
        [
            [row["ends"][:10], days(row["days_left"]), f"{row['kind']} {row['name']}", row["renewed_by"]]
            for row in horizon
        ],
    )


def _row(ca: dict[str, Any]) -> list[str]:
    crl = ca["crl"]
    key = f"{ca['key']}{'' if ca['key_here'] else ', not here'}"
    name = f"{'  ' * ca['depth']}{ca['title']}"
    if crl is None:
        return [
            name,
            key,
            ca["not_after"][:10],
            "on its gateway" if ca["name"].startswith("device-") else "-",
            "-",
            "-",
        ]
    return [name, key, ca["not_after"][:10], str(crl["number"]), crl["next_update"][:10], str(crl["revoked"])]
