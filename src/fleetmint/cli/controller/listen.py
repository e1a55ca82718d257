"""`fleetmint listen`: readings as they come."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.cli.place import as_option, gateway_option, site_option
from fleetmint.printable import json_line, printable
from fleetmint.site.state import Site

with for_work():
    from fleetmint.bench.readings import Reading, of_the_fleet, readings, text_of
    from fleetmint.site.client import open_gateway

KEPT = "(kept by the broker, age unknown)"
_INDENT = "    "


@click.command(
    epilog=examples(
        "fleetmint listen",
        "fleetmint listen --count 6 --seconds 120",
        "fleetmint listen --json | jq .values.temperature",
    )
)
@site_option
@as_option
@gateway_option
@click.option("--count", type=click.IntRange(1), help="Stop after this many readings.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def listen(
    site: Site, name: str | None, gateway: str | None, count: int | None, seconds: float | None, as_json: bool
) -> None:
    """Print the readings of all devices as they arrive; Ctrl-C ends it.

    What a device told the broker to keep comes first and is marked, since nobody knows how old it is; --count does not
    count it. What the broker keeps of revoked devices is left out. Exits with 1 when --count was given and fewer came
    within --seconds.
    """
    seen = 0
    reached = open_gateway(site, name, gateway)
    for reading in of_the_fleet(readings(reached, seconds), reached, _warn):
        click.echo(json_line(_object(reading)) if as_json else _line(reading))
        seen += not reading.retained
        if count is not None and seen >= count:
            return
    if count is not None:
        click.echo(f"fleetmint: {seen} of {count} readings came within {seconds:g} s", err=True)
        raise SystemExit(1)


def _warn(sentence: str) -> None:
    click.echo(f"fleetmint: {sentence}", err=True)


def _object(reading: Reading) -> dict[str, object]:
    at = None if reading.retained else f"{datetime.fromtimestamp(reading.at, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    return {"device": reading.device, "at": at, "retained": reading.retained, "values": reading.values}


def _line(reading: Reading) -> str:
    when = "--:--:--" if reading.retained else time.strftime("%H:%M:%S", time.localtime(reading.at))
    mark = f"  {KEPT}" if reading.retained else ""
    return _indented(f"{when}  {printable(reading.device)}{mark}  {text_of(reading.values)}")


def _indented(line: str) -> str:
    """Break a line that is wider than the terminal so that its rest cannot be taken for a line of another device."""
    width = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or len(line) * 2 <= width:
        return line
    from rich.cells import chop_cells, set_cell_size  # costs more time to import than most lines need

    first = set_cell_size(line, width).rstrip()
    if len(first) >= len(line):
        return line
    room = max(width - len(_INDENT), 1)
    return "\n".join([first, *(_INDENT + part for part in chop_cells(line[len(first) :], room))])
