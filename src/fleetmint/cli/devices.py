"""`fleetmint devices`: the fleet as the gateway and the bench know it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import json_option, table
from fleetmint.cli.readings import readings
from fleetmint.cli.site import LEDGER, Gateway, as_option, gateway_option, open_gateway, state_option

with for_work():
    from fleetmint.ledger import open_ledger, reading
    from fleetmint.ledger.factory import list_boards


@click.command()
@state_option
@as_option
@gateway_option
@click.option(
    "--readings", "seconds", type=click.FloatRange(min=0), default=0, help="Wait so long for a reading of each."
)
@json_option
def devices(state: Path, name: str | None, gateway: str | None, seconds: float, as_json: bool) -> None:
    """List the devices with board, certificate and last reading."""
    door = open_gateway(state, name, gateway)
    rows = door.get("/v1/devices")["devices"]
    boards = _boards(state)
    latest = _latest(door, {row["device"] for row in rows if row["status"] == "active"}, seconds)
    fleet = [
        {**row, "mac": boards.get(row["device"]) or row["mac"], "reading": latest.get(row["device"])} for row in rows
    ]
    if as_json:
        click.echo(json.dumps({"devices": fleet}))
        return
    columns = ["device", "MAC", "status", "serial of its certificate", "expires", "last reading"]
    table(columns, [_row(row) for row in fleet])


def _row(row: dict[str, Any]) -> list[str]:
    said = row["reading"]
    return [
        row["device"],
        row["mac"] or "-",
        row["status"],
        row["serial"] or "-",
        (row["not_after"] or "-")[:10],
        ", ".join(f"{key} {value}" for key, value in said.items()) if said else "-",
    ]


def _boards(state: Path) -> dict[str, str]:
    if not (state / LEDGER).exists():
        return {}
    engine = open_ledger(f"sqlite:///{(state / LEDGER).absolute()}")
    with reading(engine) as connection:
        return list_boards(connection)


def _latest(door: Gateway, wanted: set[str], seconds: float) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if seconds and wanted:
        for message in readings(door, seconds):
            found[message.device] = message.values
            if wanted <= found.keys():
                break
    return found
