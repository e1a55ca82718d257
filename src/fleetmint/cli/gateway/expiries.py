"""`fleetmint gateway expiries`: what ends here, and the look that is taken every day and tells who has to know."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from fleetmint.cli.gateway.common import read_config, read_stdin, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, table
from fleetmint.errors import FleetmintError
from fleetmint.printable import json_line, printable

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway import alerts
    from fleetmint.gateway import expiries as looking
    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.config import Config
    from fleetmint.gateway.expiries import Found
    from fleetmint.gateway.views import expiries_view, time_text
    from fleetmint.ledger import reading

_LARGEST = 65536


@click.command("expiries", epilog=examples("fleetmint gateway expiries", "fleetmint gateway expiries --json | jq .due"))
@click.option("--tell", is_flag=True, help="Tell operators over MQTT, and alert_command; a timer does so every day.")
@json_option
@click.pass_context
def expiries(ctx: click.Context, tell: bool, as_json: bool) -> None:
    """Show everything that ends on this gateway, the earliest first; exits with 1 when something needs somebody."""
    config, now = read_config(ctx), utc_now()
    found = _find(config, now)
    due = looking.due(found, now)
    if as_json:
        click.echo(json_line(expiries_view(found, now)))
    else:
        if not tell:
            rows = [[time_text(each.ends)[:10], f"{each.kind} {each.name}"] for each in found.endings]
            table(["ends", "what"], rows)
            click.echo()
        for each in due:
            click.echo("\n    ".join(map(printable, [each.text, *each.remedy])))
        if not due:
            click.echo("nothing is due")
    if tell:
        alerts.write_due(config, due, now)
        alerts.tell(config, due, now, lambda text: alerts.ask(config, text))
    if due:
        sys.exit(1)


def _find(config: Config, now: datetime) -> Found:
    def run(engine: Engine) -> Found:
        with reading(engine) as connection:
            return looking.find(config, connection, now)

    try:
        return with_ledger(config, run)
    except FleetmintError as error:  # what ends beside the ledger has to be said all the same
        return looking.without_ledger(config, str(error))


@click.command("alert", epilog=examples("fleetmint gateway alert /etc/fleetmint/alert.json < text"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def alert(file: Path) -> None:
    """Run the alert_command in FILE with what comes on stdin, and print what it answered as JSON.

    systemd starts it so, for an account that is in no group of the gateway's.
    """
    answer = alerts.run(file, read_stdin(_LARGEST))
    click.echo(json_line({"ok": answer.ok, "said": answer.said}))
