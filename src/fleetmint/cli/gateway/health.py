"""`fleetmint gateway health`: whether a device could enrol now, and if not, why."""

from __future__ import annotations

import click

from fleetmint.cli.gateway.common import read_config, say
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option
from fleetmint.errors import StateError

with for_work():
    from fleetmint.gateway import service_socket
    from fleetmint.gateway.ca_key import keeping
    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.health import problems
    from fleetmint.ledger import open_ledger


@click.command(epilog=examples("fleetmint gateway health", "fleetmint gateway health --loaded --seconds 60"))
@click.option("--loaded", is_flag=True, help="Ask only whether the service answers, whatever it says.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=10, show_default=True, help="How long to wait while it loads."
)
@json_option
@click.pass_context
def health(ctx: click.Context, loaded: bool, seconds: float, as_json: bool) -> None:
    """Ask the signing service whether a device could enrol now, as /healthz says; if not, find out why.

    The exit code is 1 when it could not, or when the service does not answer.
    """
    config = read_config(ctx)
    status = service_socket.health(config.service_socket, seconds)
    if loaded or status == 200:
        say(as_json, {"changed": False, "status": status}, "ok" if status == 200 else "the service answers: not ok")
        return
    found = problems(
        config, lambda: open_ledger(config.ledger), lambda: keeping.load(config, config.device_ca), utc_now
    )
    reasons = "; ".join(found.values()) or "it has just come to an end: ask again"
    raise StateError(f"no device could enrol here: {reasons}")
