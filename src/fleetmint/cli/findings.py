"""How an audit tells what it found, on the controller and on a gateway."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from fleetmint.cli.lazily import for_work
from fleetmint.printable import json_line, printable

with for_work():
    from fleetmint.ledger.findings import Finding


def report(as_json: bool, found: Sequence[Finding], checked: str) -> None:
    """Print what was found, with what to do about it, and exit with 1 if that is anything."""
    if as_json:
        click.echo(json_line({"findings": [{"what": each.what, "remedy": each.remedy} for each in found]}))
    else:
        for each in found:
            click.echo(f"{printable(each.what)}\n    {printable(each.remedy)}")
        click.echo(f"{checked}: {f'{len(found)} findings' if found else 'nothing found'}")
    if found:
        sys.exit(1)
