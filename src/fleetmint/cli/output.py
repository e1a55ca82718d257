"""What several commands print alike: one JSON object, or lines."""

import json
from collections.abc import Mapping
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def examples(*lines: str) -> str:
    """Return the epilog of a help text with one example a line, which click would otherwise fill into paragraphs."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def say(as_json: bool, values: Mapping[str, Any], text: str) -> None:
    """Print `values` as JSON, or `text`."""
    click.echo(json.dumps(values) if as_json else text)


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table that is never cut, whatever the terminal says: half a serial number is of no use."""
    from rich.console import Console  # costs more time to import than many commands take
    from rich.table import Table

    made = Table(*columns, box=None)
    for row in rows:
        made.add_row(*row)
    Console(width=max(Console().width, 140), soft_wrap=True, highlight=False).print(made)


def days(left: int) -> str:
    """Return how long something still lasts."""
    return f"{left} days" if left >= 0 else f"ended {-left} days ago"
