"""The commands that run on a gateway: thin over the functions of the gateway and the ledger, by subject."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.cli.gateway import (
    approvals,
    audit,
    backup,
    clock,
    device_ca,
    expiries,
    health,
    ledger,
    lists,
    request,
    watch,
)
from fleetmint.cli.output import examples
from fleetmint.errors import FleetmintError

_MOVE = "move"
_COMMANDS = (
    approvals.approve,
    approvals.deny,
    approvals.waiting,
    audit.audit,
    backup.backup,
    backup.restore,
    clock.attest_clock,
    clock.repair_clock,
    device_ca.ca_status,
    device_ca.install_ca,
    device_ca.install_pin,
    device_ca.retire_ca,
    expiries.alert,
    expiries.expiries,
    health.health,
    ledger.devices,
    ledger.import_,
    ledger.init,
    ledger.revoke,
    lists.publish,
    lists.sign_crl,
    lists.superseded,
    request.request,
    watch.watch_broker,
)


class _Group(click.Group):
    """The commands of a gateway, and `move`, which runs on the controller and needs what is installed there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), _MOVE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != _MOVE:
            return super().get_command(ctx, cmd_name)
        try:
            found: click.Command = import_module("fleetmint.cli.controller.move").move
        except ImportError as error:
            if error.name is None or error.name.startswith("fleetmint"):
                raise
            return _elsewhere
        return found


@click.command(_MOVE, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def _elsewhere(words: tuple[str, ...]) -> None:
    """Tell devices where their gateway is: on the controller, not here."""
    raise FleetmintError(
        "devices are told by the site's station, whose certificate is on the controller: run"
        f" {commands.fleetmint('gateway', 'move', *words)}"
    )


@click.group(
    cls=_Group, epilog=examples("fleetmint gateway devices", "fleetmint gateway audit", "fleetmint gateway publish")
)
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The gateway's configuration [default: $FLEETMINT_CONFIG, else /etc/fleetmint/gateway.toml].",
)
@click.pass_context
def gateway(ctx: click.Context, path: Path | None) -> None:
    """Work on the gateway itself: its CA, its ledger, its revocation lists.

    From the controller `move` sends devices to it.
    """
    ctx.obj = path
    commands.act_on_gateway()  # `move`, where it works, acts on its site


for _command in _COMMANDS:
    gateway.add_command(_command)
