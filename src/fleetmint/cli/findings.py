"""How an audit tells what it found, on the controller and on a gateway."""

import json
import sys
from collections.abc import Sequence

import click

from fleetmint.ledger.audit import Finding


def report(as_json: bool, found: Sequence[Finding], checked: str) -> None:
    """Print what was found, with what to do about it, and exit with 1 if that is anything."""
    if as_json:
        click.echo(json.dumps({"findings": [{"what": each.what, "remedy": each.remedy} for each in found]}))
    else:
        for each in found:
            click.echo(f"{each.what}\n    {each.remedy}")
        click.echo(f"{checked}: {f'{len(found)} findings' if found else 'nothing found'}")
    if found:
        sys.exit(1)
