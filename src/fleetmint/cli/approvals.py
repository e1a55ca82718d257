"""What the commands about approvals on a gateway and on the controller have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from fleetmint.cli.output import say, table

_COLUMNS = ("device", "batch", "key", "mac", "since", "source")

key_option = click.option(
    "--fingerprint", "key", metavar="SHA256", help="The key that is meant: 8 or more hexadecimal digits of its SHA-256."
)


def show_waiting(as_json: bool, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what waits."""
    if as_json or not rows:
        say(as_json, {"approvals": list(rows)}, "nothing waits for approval")
        return
    columns = [*(["gateway"] if "gateway" in rows[0] else []), *_COLUMNS]
    table(columns, [[str(row[name] or "-") for name in columns] for row in rows])


def decided_text(decision: str, done: Mapping[str, Any]) -> str:
    """Return what came of a decision, in words."""
    word = "approved" if decision == "approve" else "denied"
    if not done["changed"]:
        return f"{done['device']} was {word} before"
    return "\n".join(f"{done['device']} is {word} with the key {key}" for key in done["keys"])
