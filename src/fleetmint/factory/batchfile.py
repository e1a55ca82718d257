"""The text of a batch file, YAML or CSV, each piece with its line: what it means is for spec.py to say.

Everything stays the text that the maker wrote: YAML would read the serial 000017 as the number 15, and `no` as false.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from fleetmint import files
from fleetmint.errors import FleetmintError

# So many mistakes are told at once: more would not be read.
MAX_PROBLEMS = 8
# The values of an entry of devices lie no deeper; an anchor that holds itself would never end.
MAX_DEPTH = 5
# Beyond that it is no batch file; a million rows have less.
MAX_BYTES = 1 << 28


class BatchRefusedError(FleetmintError):
    """A batch file cannot be read, or says something that cannot be made. The message has a line for each problem."""


@dataclass
class Problems:
    """What is wrong with one file, gathered to be told together."""

    path: Path
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int | None, text: str) -> None:
        """Note a problem; raise BatchRefusedError when it is one too many to go on."""
        self.found.append((line or 0, f"{self.path}, line {line}: {text}" if line else f"{self.path}: {text}"))
        if len(self.found) == MAX_PROBLEMS:
            self.end()

    def end(self) -> None:
        """Raise BatchRefusedError when there are problems."""
        if self.found:
            lines = [text for _, text in sorted(self.found)]
            more = ["there may be more: correct these first"] if len(lines) == MAX_PROBLEMS else []
            raise BatchRefusedError("\n".join(lines + more))


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text and the line it stands on."""

    text: str
    line: int


@dataclass(frozen=True)
class Fields:
    """The fields of one mapping or row, by name, and the line it begins on."""

    line: int
    values: Mapping[str, "Text | Fields | list[Text | Fields]"]


def read_yaml(path: Path, problems: Problems) -> Fields:
    """Return the one mapping that a YAML file is."""
    text = _text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        problems.add(error.problem_mark.line + 1 if error.problem_mark else None, str(error.problem))
        problems.end()
    except yaml.YAMLError as error:
        problems.add(None, f"no YAML file: {error}")
        problems.end()
    except RecursionError:
        raise BatchRefusedError(f"{path}: no batch file: its lists and mappings are nested too deep") from None
    if not isinstance(node, yaml.MappingNode):
        raise BatchRefusedError(f"{path}, line 1: a batch file is a mapping with prefix and devices")
    return _fields(node, problems, 0)


def read_csv(path: Path, problems: Problems) -> tuple[list[str], list[Fields]]:
    """Return columns and rows of a CSV file whose first row names the columns; comma or semicolon between them."""
    lines = _text(path)
    first = lines.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(lines), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    columns: list[str] = []
    rows: list[Fields] = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for name in {name for name in columns if columns.count(name) > 1}:
            problems.add(1, f"the column {name!r} is there twice")
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            line = reader.line_num
            if len(row) != len(columns):
                problems.add(line, f"the row has {len(row)} cells, and there are {len(columns)} columns")
                continue
            cells = ((name, cell.strip()) for name, cell in zip(columns, row, strict=True))
            rows.append(Fields(line, {name: Text(cell, line) for name, cell in cells if cell}))
    except csv.Error as error:
        problems.add(reader.line_num, f"no CSV: {error}")
        problems.end()
    return columns, rows


def _text(path: Path) -> str:
    data = files.read(path, "batch file")
    if len(data) > MAX_BYTES:
        raise BatchRefusedError(f"{path} is too large for a batch file: {len(data)} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BatchRefusedError(f"{path}, line {line}: a batch file is text in UTF-8") from error


def _fields(node: yaml.MappingNode, problems: Problems, depth: int) -> Fields:
    values: dict[str, Text | Fields | list[Text | Fields]] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.add(line, "the name of a field is text")
        elif key.value in values:
            problems.add(line, f"{key.value} is there twice")
        elif (read := _node(value, problems, depth + 1)) is not None:
            values[key.value] = read
    return Fields(node.start_mark.line + 1, values)


def _node(node: yaml.Node, problems: Problems, depth: int) -> "Text | Fields | list[Text | Fields] | None":
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        problems.add(line, "this is nested deeper than anything in a batch file")
        return None
    if isinstance(node, yaml.MappingNode):
        return _fields(node, problems, depth)
    if isinstance(node, yaml.SequenceNode):
        found: list[Text | Fields] = []
        for item in node.value:
            read = _node(item, problems, depth + 1)
            if isinstance(read, list):
                problems.add(item.start_mark.line + 1, "a list does not belong into a list")
            elif read is not None:
                found.append(read)
        return found
    return None if node.tag.endswith(":null") else Text(str(node.value), line)
