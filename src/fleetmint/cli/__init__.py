"""The command `fleetmint`: thin over the library's functions.

Exit codes: 0 done, 1 refused or failed with one sentence on stderr, 2 wrong usage.
"""

import gc
import importlib
import sys
from typing import Any

import click

from fleetmint import __version__, notices, trouble
from fleetmint.cli import lazily, terminal
from fleetmint.errors import FleetmintError
from fleetmint.printable import printable_lines

# Imported when asked for, and what they need when one runs: the gateway has the libraries of its own commands only.
COMMANDS = {
    "alert": "fleetmint.cli.controller.alert",
    "approve": "fleetmint.cli.controller.approvals",
    "audit": "fleetmint.cli.controller.audit",
    "batch": "fleetmint.cli.bench.batch",
    "bundle": "fleetmint.cli.controller.bundle",
    "burn": "fleetmint.cli.bench.burn",
    "ca": "fleetmint.cli.controller.ca",
    "ceremony": "fleetmint.cli.controller.ceremony",
    "console": "fleetmint.cli.bench.console",
    "deny": "fleetmint.cli.controller.approvals",
    "device": "fleetmint.cli.bench.device",
    "devices": "fleetmint.cli.controller.devices",
    "efuse": "fleetmint.cli.bench.efuse",
    "enrol": "fleetmint.cli.device.enrol",
    "find": "fleetmint.cli.controller.find",
    "gateway": "fleetmint.cli.gateway.group",
    "inspect": "fleetmint.cli.controller.inspect",
    "listen": "fleetmint.cli.controller.listen",
    "operator": "fleetmint.cli.controller.operator",
    "renew": "fleetmint.cli.device.renew",
    "revoke": "fleetmint.cli.controller.revoke",
    "secure": "fleetmint.cli.bench.secure",
    "service-cert": "fleetmint.cli.controller.service",
    "share-keys": "fleetmint.cli.controller.share_keys",
    "site": "fleetmint.cli.controller.site",
    "token": "fleetmint.cli.bench.token",
    "verify": "fleetmint.cli.controller.verify",
    "waiting": "fleetmint.cli.controller.approvals",
    "wifi": "fleetmint.cli.controller.wifi",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # imports make much that stays; to look for garbage among it takes 7 % of their time
        try:
            command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        finally:
            gc.enable()
        return command

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with terminal.ending_like_a_tool():
            return super().make_context(*arguments, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        lazily.prepare(args, completing=ctx.resilient_parsing)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with terminal.ending_like_a_tool():  # the reader of what is said here may have gone, too
            try:
                with terminal.ending_like_a_tool():
                    try:
                        return super().invoke(ctx)
                    except FleetmintError:
                        notices.take()  # one sentence at a time, and first what stopped the work
                        raise
                    finally:
                        for sentence in notices.take():
                            click.echo(f"fleetmint: warning: {printable_lines(sentence)}", err=True)
            except FleetmintError as error:
                click.echo(f"fleetmint: {printable_lines(str(error))}", err=True)
                ctx.exit(1)
            except OSError as error:
                click.echo(f"fleetmint: {printable_lines(trouble.sentence(error, 'this cannot go on'))}", err=True)
                ctx.exit(1)
            except ImportError as error:
                if error.name is None or error.name.startswith("fleetmint"):
                    raise
                click.echo(
                    f"fleetmint: this cannot be done on this machine: {error.name.partition('.')[0]} is not installed",
                    err=True,
                )
                ctx.exit(1)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def root() -> None:
    """Give every ESP32 of a small fleet an identity of its own."""


def main() -> None:
    """Run the command line."""
    terminal.prepare()
    try:
        root(prog_name="fleetmint")
    except KeyboardInterrupt:
        sys.exit(terminal.INTERRUPTED)
