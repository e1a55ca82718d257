"""`fleetmint console`: what the board at a port says."""

import time

import click

from fleetmint.burn_codes import BurnCode
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.errors import BurnError
from fleetmint.printable import json_line

with for_work():
    from fleetmint.flash.burn import check_port
    from fleetmint.flash.console import lines, open_console


@click.command(
    epilog=examples(
        "fleetmint console --port /dev/ttyUSB0",
        "fleetmint console --port /dev/ttyUSB0 --reset --seconds 30",
    )
)
@click.option(
    "--port",
    required=True,
    metavar="PORT",
    shell_complete=completion.ports,
    help="Serial port of the board, such as /dev/ttyUSB0.",
)
@click.option("--reset", is_flag=True, help="Reset the board first, to see how it starts.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def console(port: str, reset: bool, seconds: float | None, as_json: bool) -> None:
    """Print what the board at PORT says while its program runs; Ctrl-C ends it.

    Nothing is sent to the board, and it is not reset unless --reset is given. Exits with 1 when it said nothing within
    --seconds.
    """
    check_port(port)
    until = None if seconds is None else time.monotonic() + seconds
    said = 0
    try:
        with open_console(port, reset=reset) as line:
            for text in lines(line, until):
                said += 1
                click.echo(json_line({"line": text}) if as_json else text)
    except OSError as error:
        raise BurnError(
            f"{port}: the port cannot be read ({error.strerror or 'in use, or gone'}): connect the board again, and end"
            " whatever else has the port open",
            BurnCode.PORT_BUSY,
        ) from error
    if not said:
        raise BurnError(
            f"{port}: the board said nothing within {seconds:g} s: does its program run? --reset shows how it starts",
            BurnCode.NO_ANSWER,
        )
