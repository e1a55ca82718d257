"""The commands that run on a gateway: thin over the functions of the gateway and the ledger, by subject."""

from __future__ import annotations

from pathlib import Path

import click

from fleetmint import commands
from fleetmint.cli.gateway import audit, backup, clock, device_ca, ledger, lists, request, watch
from fleetmint.cli.output import examples

_COMMANDS = (
    audit.audit,
    backup.backup,
    backup.restore,
    clock.attest_clock,
    clock.repair_clock,
    device_ca.ca_status,
    device_ca.install_ca,
    device_ca.retire_ca,
    ledger.devices,
    ledger.import_,
    ledger.init,
    ledger.revoke,
    lists.publish,
    lists.sign_crl,
    request.request,
    watch.watch_broker,
)


@click.group(epilog=examples("fleetmint gateway devices", "fleetmint gateway audit", "fleetmint gateway publish"))
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The gateway's configuration [default: $FLEETMINT_CONFIG, else /etc/fleetmint/gateway.toml].",
)
@click.pass_context
def gateway(ctx: click.Context, path: Path | None) -> None:
    """Work on the gateway itself: its CA, its ledger, its revocation lists."""
    ctx.obj = path
    commands.act_on_gateway()


for _command in _COMMANDS:
    gateway.add_command(_command)
