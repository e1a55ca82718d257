"""`fleetmint devices`: the fleet as the gateway and the bench know it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from fleetmint.cli.controller.listen import KEPT
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, table
from fleetmint.cli.place import as_option, gateway_option, ledger_option, site_option
from fleetmint.printable import json_line
from fleetmint.site.state import Site

with for_work():
    from fleetmint.bench.readings import Reading, readings, text_of
    from fleetmint.ledger import looking
    from fleetmint.ledger.factory import list_boards
    from fleetmint.site.client import Gateway, open_gateway
    from fleetmint.site.expiries import has_not_renewed, unused_token

# For a table; --json has all of it.
_WIDEST = 200


@click.command(
    epilog=examples(
        "fleetmint devices --readings 15",
        "fleetmint devices --not-renewed",
        "fleetmint devices --json | jq '.devices[] | select(.status == \"revoked\") | .device'",
    )
)
@site_option
@ledger_option
@as_option
@gateway_option
@click.option(
    "--readings", "seconds", type=click.FloatRange(min=0), default=0, help="Wait so long for a reading of each."
)
@click.option("--not-renewed", is_flag=True, help="Only devices that should have renewed their certificate by now.")
@click.option("--unused-tokens", is_flag=True, help="Only devices that never enrolled, with the end of their token.")
@json_option
def devices(
    site: Site,
    name: str | None,
    gateway: str | None,
    seconds: float,
    not_renewed: bool,
    unused_tokens: bool,
    as_json: bool,
) -> None:
    """List the devices with board, certificate and last reading.

    A reading that the broker kept is marked, since nobody knows how old it is.
    """
    reached = open_gateway(site, name, gateway)
    rows, now = reached.get("/v1/devices")["devices"], datetime.now(UTC)
    if not_renewed or unused_tokens:
        rows = [
            row
            for row in rows
            if (not_renewed and has_not_renewed(row, now)) or (unused_tokens and unused_token(row) is not None)
        ]
    boards = _boards(site)
    latest = _latest(reached, {row["device"] for row in rows if row["status"] == "active"}, seconds)
    fleet = [_described(row, boards.get(row["device"]), latest.get(row["device"])) for row in rows]
    if as_json:
        click.echo(json_line({"devices": fleet}))
        return
    columns = ["device", "MAC", "status", "serial of its certificate", "expires", "last reading"]
    table(columns, [_row(row) for row in fleet])


def _described(row: dict[str, Any], mac: str | None, said: Reading | None) -> dict[str, Any]:
    values, retained = (said.values, said.retained) if said else (None, None)
    return {**row, "mac": mac or row["mac"], "reading": values, "reading_retained": retained}


def _row(row: dict[str, Any]) -> list[str]:
    said = text_of(row["reading"], ", ", _WIDEST) if row["reading"] is not None else "-"
    return [
        row["device"],
        row["mac"] or "-",
        row["status"],
        row["serial"] or "-",
        (row["not_after"] or row.get("token_expires") or "-")[:10],
        f"{said}  {KEPT}" if row["reading_retained"] else said,
    ]


def _boards(site: Site) -> dict[str, str]:
    if not site.has_ledger:
        return {}
    with looking(site.ledger) as connection:
        return list_boards(connection)


def _latest(reached: Gateway, wanted: set[str], seconds: float) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    live: set[str] = set()
    if seconds and wanted:
        for message in readings(reached, seconds):
            if message.retained and message.device in live:
                continue  # said again after a reconnect
            found[message.device] = message
            if not message.retained:
                live.add(message.device)
            if wanted <= live:
                break
    # what the broker keeps of a revoked device is no news of it
    return {device: message for device, message in found.items() if device in wanted}
