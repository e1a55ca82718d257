"""What the commands of a device say alike."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import say
from fleetmint.printable import printable

with for_work():
    from fleetmint.device.keeping import Kept
    from fleetmint.documents.client import CA, CERTIFICATE, KEY


def report(as_json: bool, directory: Path, kept: Kept, hint: str = "") -> None:
    """Say how a run ended; exit with 1 when something that has to be done was not."""
    standing = kept.standing
    values = {
        "changed": bool(kept.changes),
        "changes": list(kept.changes),
        "problems": list(kept.problems),
        "device": kept.device,
        "serial": standing.serial,
        "not_after": standing.not_after,
        "renew_at": standing.renew_at,
        "trust_bundle": kept.bundle,
        "ca": str(directory / CA),
        "certificate": str(directory / CERTIFICATE),
        "key": str(directory / KEY),
    }
    done = ", ".join(kept.changes) or "nothing to do"
    lines = [
        f"{kept.device}: {done}.",
        f"The gateway accepts the certificate until {standing.not_after[:10]}; to be renewed from"
        f" {standing.renew_at[:10]} on.",
    ]
    say(as_json, values, "\n".join([*lines, *([hint] if hint else [])]))
    for problem in kept.problems:
        click.echo(f"fleetmint: {printable(problem)}", err=True)
    if kept.problems:
        sys.exit(1)
