"""`fleetmint listen`: readings as they come."""

import json
import time
from pathlib import Path

import click

from fleetmint.cli.readings import readings
from fleetmint.cli.site import as_option, gateway_option, open_gateway, state_option


@click.command()
@state_option
@as_option
@gateway_option
@click.option("--count", type=click.IntRange(1), help="Stop after this many readings.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def listen(
    state: Path, name: str | None, gateway: str | None, count: int | None, seconds: float | None, as_json: bool
) -> None:
    """Print the readings of all devices as they arrive.

    Exits with 1 when --count was given and fewer came within --seconds.
    """
    seen = 0
    for reading in readings(open_gateway(state, name, gateway), seconds):
        if as_json:
            click.echo(json.dumps({"device": reading.device, "at": round(reading.at, 3), "values": reading.values}))
        else:
            values = "  ".join(f"{key} {value}" for key, value in reading.values.items())
            click.echo(f"{time.strftime('%H:%M:%S', time.localtime(reading.at))}  {reading.device}  {values}")
        seen += 1
        if count is not None and seen >= count:
            return
    if count is not None:
        click.echo(f"fleetmint: {seen} of {count} readings came within {seconds:g} s", err=True)
        raise SystemExit(1)
