"""What several commands print alike: one JSON object, or lines."""

import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from fleetmint.printable import json_line, printable, printable_lines

_GAP = "  "

# What a command that was given --check calls changed in its JSON is what would change, as with Ansible.
check_option = click.option("--check", is_flag=True, help="Say what would change, and change nothing.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def examples(*lines: str) -> str:
    """Return the epilog of a help text with one example a line, which click would otherwise fill into paragraphs."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def say(as_json: bool, values: Mapping[str, Any], text: str) -> None:
    """Print `values` as JSON, or `text`."""
    click.echo(json_line(values) if as_json else printable_lines(text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; piped, one line for each row, whatever the terminal's width."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(table_text(columns, rows, width))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return a table at most `width` wide, or as wide as it is; a word is never cut, half a serial number is of no use.

    Columns are at least two blanks apart, and no cell has two in a row but at its beginning, as in a tree. What does
    not fit is wrapped between words; where that does not help, each row becomes a block of lines. Empty cells are `-`.
    """
    lines = [[_cell(text) for text in row] for row in (columns, *rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        least = [max(map(_least, column)) for column in zip(*lines, strict=True)]
        spare = width - sum(least) - len(_GAP) * (len(least) - 1)
        if spare < 0:
            return "\n\n".join(_block(lines[0], row, width) for row in lines[1:])
        widths = _shared_out(least, widths, spare)
    return "\n".join(line for row in lines for line in _row(row, widths))


def _cell(text: str) -> str:
    text = printable(text)
    return text[: _indent(text)] + " ".join(text.split()) or "-"


def _shared_out(least: Sequence[int], wanted: Sequence[int], spare: int) -> list[int]:
    """Return widths that use up what is to spare: columns that miss little get all of it, the others share the rest."""
    widths = list(least)
    missing = sorted(range(len(least)), key=lambda at: wanted[at] - least[at])
    for left, at in zip(range(len(missing), 0, -1), missing, strict=True):
        more = min(wanted[at] - least[at], spare // left)
        widths[at] += more
        spare -= more
    return widths


def _row(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    wrapped = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for at in range(max(map(len, wrapped))):
        parts = [column[at] if at < len(column) else "" for column in wrapped]
        yield _GAP.join(part + " " * (width - _width(part)) for part, width in zip(parts, widths, strict=True)).rstrip()


def _least(cell: str) -> int:
    """Return how narrow a cell can be: as its longest word, behind what it is indented by."""
    return _indent(cell) + max(map(_width, cell.split()))


def _wrapped(text: str, width: int) -> list[str]:
    if _width(text) <= width:
        return [text]
    margin = " " * _indent(text)
    lines: list[str] = []
    for word in text.split():
        if lines and _width(lines[-1]) + 1 + _width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(margin + word)
    return lines


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _block(columns: Sequence[str], row: Sequence[str], width: int) -> str:
    """Return a row as lines: the first cell, and below it the others with their columns."""
    widest = max(map(_width, columns[1:]), default=0)
    lines = [row[0]]
    for name, cell in zip(columns[1:], row[1:], strict=True):
        first, *rest = _wrapped(cell, width - widest - 2 * len(_GAP))
        lines.append(f"  {name + ' ' * (widest - _width(name))}{_GAP}{first}")
        lines += [f"  {' ' * widest}{_GAP}{more}" for more in rest]
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def days(left: int) -> str:
    """Return how long something still lasts."""
    return f"{left} days" if left >= 0 else f"ended {-left} days ago"
