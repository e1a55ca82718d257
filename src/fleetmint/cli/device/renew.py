"""`fleetmint renew`: a Linux machine keeps its certificate, by hand or by a timer of systemd."""

from __future__ import annotations

from pathlib import Path

import click

from fleetmint.cli.device.common import report
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say

with for_work():
    from fleetmint.device import timer as timers
    from fleetmint.device.directory import Directory
    from fleetmint.device.keeping import keeper

INSTALL, PRINT, REMOVE = _ACTIONS = ("install", "print", "remove")


@click.command(
    epilog=examples(
        "fleetmint renew /var/lib/sensor/tls",
        "fleetmint renew /var/lib/sensor/tls --timer install --restart sensor.service",
        "fleetmint renew /var/lib/sensor/tls --timer print",
        "fleetmint renew /var/lib/sensor/tls --json | jq .not_after",
    )
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--new-key", is_flag=True, help="Renew now, for a new key.")
@click.option(
    "--timer",
    type=click.Choice(_ACTIONS),
    help="Install a timer of systemd that runs this command every few hours as the owner of DIRECTORY, print its units,"
    " or remove them.",
)
@click.option(
    "--restart",
    metavar="UNIT",
    help="With --timer: a unit that uses the certificate, restarted after each renewal.",
)
@json_option
def renew(directory: Path, new_key: bool, timer: str | None, restart: str | None, as_json: bool) -> None:
    """Look after the certificate of the device in DIRECTORY: renew it when its gateway says that it is due.

    One that has ended is recovered within the gateway's grace. A new certificate takes the place of the old one when a
    connection has proven it, in one step. A newer trust bundle is taken if the release key has signed it. Nothing is
    done to a certificate that is not due.

    Exits with 1 when the gateway cannot be reached or something that is due was not done: what is there is left as it
    was.
    """
    if restart is not None and timer is None:
        raise click.UsageError("--restart is for the units of --timer")
    if timer is not None and new_key:
        raise click.UsageError("give --timer or --new-key, not both")
    place = Directory(directory)
    if timer is not None:
        _timer(place, timer, restart, as_json)
        return
    place.about()
    with place.held():
        kept = keeper(place).renew(new_key=new_key)
    report(as_json, directory, kept)


def _timer(place: Directory, action: str, restart: str | None, as_json: bool) -> None:
    found = timers.units(place, restart)
    if action == PRINT:
        texts = {str(path): text for path, text in found.contents.items()}
        say(as_json, {"units": texts}, "\n".join(f"# {path}\n{text}" for path, text in texts.items()).rstrip())
        return
    changed = timers.install(found) if action == INSTALL else timers.remove(found)
    if action == INSTALL:
        text = f"{found.timer} runs: `systemctl list-timers {found.timer}` says when, `journalctl -u {found.name}` how."
    else:
        text = f"{found.timer} is removed." if changed else f"Nothing to do: there is no {found.timer}."
    say(as_json, {"changed": changed, "timer": found.timer}, text)
