"""`fleetmint alert`: whether the command that a site is alarmed with would reach somebody."""

from __future__ import annotations

import sys

import click

from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, table
from fleetmint.cli.place import as_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.printable import json_line
from fleetmint.site.state import Site

with for_work():
    from fleetmint.site.client import open_gateway
    from fleetmint.site.expiries import try_alert


@click.group(epilog=examples("fleetmint alert test"))
def alert() -> None:
    """Try what alarms the people of a site: fleet_alert_command in the inventory (docs/alarms.md)."""


@alert.command("test", epilog=examples("fleetmint alert test", "fleetmint alert test --gateway gateway --json"))
@site_option
@as_option
@click.option(
    "--gateway", metavar="NAME", shell_complete=completion.gateways, help="Only this gateway; every one otherwise."
)
@json_option
def test(site: Site, name: str | None, gateway: str | None, as_json: bool) -> None:
    """Have every gateway run its alert_command, and say what it answered; exits with 1 unless each one worked."""
    answers = []
    for each in [gateway] if gateway else site.gateways:
        try:
            ok, said = try_alert(open_gateway(site, name, each))
        except FleetmintError as error:
            ok, said = False, str(error)
        answers.append({"gateway": each, "ok": ok, "said": said})
    if as_json:
        click.echo(json_line({"gateways": answers}))
    else:
        rows = [[str(row["gateway"]), "worked" if row["ok"] else "failed", str(row["said"])] for row in answers]
        table(["gateway", "alert_command", "what it said"], rows)
    if not answers or not all(row["ok"] for row in answers):
        sys.exit(1)
