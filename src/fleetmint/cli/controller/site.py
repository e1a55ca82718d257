"""`fleetmint site`: what the timer of controller_monthly starts, and the backup of the controller."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from fleetmint.cli.controller.site_backup import backup, restore
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.cli.place import site_option
from fleetmint.printable import printable
from fleetmint.site.state import Site

with for_work():
    from fleetmint.site.monthly import refuse_asking, run_site


@click.group(
    epilog=examples("fleetmint site backup /media/backup/home.age --new-passphrase", "fleetmint site run --try")
)
def site() -> None:
    """Look after the whole site: its backup, and its monthly run without a person (docs/alarms.md)."""


site.add_command(backup)
site.add_command(restore)


@site.command("run", epilog=examples("fleetmint site run --try", "fleetmint site run"))
@click.option("--try", "only_try", is_flag=True, help="Only see whether the passphrases are had without a person.")
@site_option
def run(only_try: bool, site: Site) -> None:
    """Run playbooks/deploy.yml as the timer of controller_monthly does; exits with 1 when it fails.

    That is what playbooks/site.yml does, but for the factory: nobody is there to see which boards are plugged in.

    controller_alert_command is told when it has failed, and what is left to do when it has worked.
    """
    refuse_asking(site)
    if only_try:
        click.echo("the passphrases are had without a person")
        return
    for line in run_site(site, datetime.now(UTC)):
        click.echo(printable(line))
