"""The text of a batch file, YAML or CSV, each piece with its line: what it means is for spec.py to say.

Everything stays the text that the maker wrote: YAML would read the serial 000017 as the number 15, and `no` as false.
What a reader of YAML might take for something else all the same is refused: tags, and fields that are left empty.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fleetmint import files
from fleetmint.errors import FleetmintError, TextRefusedError
from fleetmint.text import decoded, joined

# So many mistakes are told at once: more would not be read.
MAX_PROBLEMS = 8
# The values of an entry of devices lie no deeper; an anchor that holds itself would never end.
MAX_DEPTH = 5
# Beyond that it is no batch file; a million rows have less.
MAX_BYTES = 1 << 28
# YAML 1.1 takes them for ends of lines, and would fold them into blanks.
_BREAKS = re.compile("[\x85\u2028\u2029]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATORS = (",", ";", "\t")
# What Excel writes in front of the names of the columns where a comma is not its separator.
_SEP_LINE = re.compile(r'"?sep=([^"\r\n])"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE)


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
    """A piece of text and the line it stands on; `quoted` unless it stands in CSV as it is."""

    text: str
    line: int
    quoted: bool = True

    @property
    def said(self) -> bool:
        """Whether there is anything; blanks alone are something in quotes only."""
        return bool(self.text if self.quoted else self.text.strip())


@dataclass(frozen=True)
class Fields:
    """The fields of one mapping or row, by name, and the line it begins on."""

    line: int
    values: Mapping[str, "Text | Fields | list[Text | Fields]"]


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """A loader that refuses tags, whatever they are called: `!vault x` is no passphrase, nor is its text."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"tags such as {tag} are not read in a batch file: write the value itself, in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def read_yaml(path: Path, problems: Problems) -> Fields:
    """Return the one mapping that a YAML file is."""
    text = _text(path)
    if _is_like_csv(text):
        raise BatchRefusedError(
            f"{path}, line 1: this looks like CSV, and only a file whose name ends in .csv is read as CSV: rename it"
        )
    if found := _BREAKS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = f"the character U+{ord(found[0]):04X} is an end of a line to YAML"
        problems.add(line, f"{what}: take it out, or write its escape in quotes")
        problems.end()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problems.add(error.problem_mark.line + 1 if error.problem_mark else None, str(error.problem))
        problems.end()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(line, f"the character U+{ord(text[error.position]):04X} does not belong into a file of YAML")
        problems.end()
    except (ValueError, OverflowError):
        raise BatchRefusedError(
            f"{path}: an escape \\U in it is beyond U+10FFFF, where there are no characters"
        ) from None
    except RecursionError:
        raise BatchRefusedError(f"{path}: no batch file: its lists and mappings are nested too deep") from None
    if not isinstance(node, yaml.MappingNode):
        raise BatchRefusedError(f"{path}, line 1: a batch file is a mapping with prefix and devices")
    return _fields(node, problems, 0)


def read_csv(path: Path, problems: Problems) -> tuple[int, list[str], list[Fields]]:
    """Return the columns of a CSV file, the line that names them, and the rows; comma, semicolon or tab between cells.

    Text without quotes comes with the blanks around it, which only the reader of a column can judge. Cells and columns
    without a name, as programs leave them behind, count for nothing while they are empty.
    """
    text = _text(path)
    told = _SEP_LINE.match(text)
    separator = told[1] if told else _separator(text)
    head = 1
    columns: list[str] = []
    rows: list[Fields] = []
    for line, row in _rows(text, separator, told.end() if told else 0, problems):
        if not any(cell.said for cell in row):
            continue
        if not columns:
            head, columns = line, [cell.text.strip() for cell in row]
            while not columns[-1]:
                columns.pop()
            for name in (name for name in columns if not name.isprintable()):
                problems.add(line, f"{name!r} is no name of a column: it holds what nobody sees")
            for name in {name for name in columns if columns.count(name) > 1 and name}:
                problems.add(line, f"the column {name!r} is there twice")
            continue
        if len(row) < len(columns) or any(cell.said for cell in row[len(columns) :]):
            problems.add(line, f"the row has {len(row)} cells, and there are {len(columns)} columns")
            continue
        said = [(name, cell) for name, cell in zip(columns, row, strict=False) if cell.said]
        for cell in (cell for name, cell in said if not name):
            problems.add(cell.line, "there is something in a column that has no name: give it one, or empty the cell")
        rows.append(Fields(line, dict(said)))
    return head, [name for name in columns if name], rows


def _rows(text: str, separator: str, position: int, problems: Problems) -> Iterator[tuple[int, list[Text]]]:
    """Yield line and cells of each row behind `position` (RFC 4180); lines end with CR, LF or both.

    Python's csv does not tell what was quoted, and blanks inside of quotes are meant.
    """
    blanks, ends = "[ \t]*" if separator != "\t" else " *", re.escape(separator) + "\r\n"
    cell = re.compile(rf'{blanks}"([^"]*(?:""[^"]*)*)"{blanks}(?=[{ends}]|\Z)|([^{ends}]*)')
    line = 2 if position else 1
    began, row = line, []
    while position <= len(text) and (found := cell.match(text, position)):  # its second half matches anything
        quoted, bare = found.groups()
        if quoted is None and bare.lstrip().startswith('"'):
            problems.add(line, "no CSV: a quotation mark that begins a cell has to be followed by one that ends it")
            problems.end()
        row.append(Text(bare if quoted is None else quoted.replace('""', '"'), line, quoted is not None))
        line += len(_LINE_END.findall(found[0]))
        position = found.end()
        if text.startswith(separator, position):
            position += 1
            continue
        yield began, row
        end = _LINE_END.match(text, position)
        position = end.end() if end else len(text) + 1
        line += 1
        began, row = line, []


def _separator(text: str) -> str:
    """Return what stands between the names of the columns: the first of _SEPARATORS that is there."""
    first = next((line for line in re.split(r"[\r\n]", text, maxsplit=1000) if line.strip()), "")
    return next((each for each in _SEPARATORS if each in first), ",")


def _is_like_csv(text: str) -> bool:
    first = re.split(r"[\r\n]", text.strip(), maxsplit=1)[0]
    names = [name.strip(' "') for name in re.split(r"[,;\t|]", first)]
    return first.lower().startswith("sep=") or not {"serial", "id", "count"}.isdisjoint(names)


def _text(path: Path) -> str:
    data = files.read(path, "batch file")
    if len(data) > MAX_BYTES:
        raise BatchRefusedError(f"{path} is too large for a batch file: {len(data)} bytes")
    try:
        return decoded(data, str(path))
    except TextRefusedError as error:
        raise BatchRefusedError(str(error)) from error


def _fields(node: yaml.MappingNode, problems: Problems, depth: int) -> Fields:
    values: dict[str, Text | Fields | list[Text | Fields]] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.add(line, "the name of a field is text")
        elif not key.value.isprintable():
            problems.add(line, f"{key.value!r} is no name of a field: it holds what nobody sees")
        elif key.value in values:
            problems.add(line, f"{key.value} is there twice")
        elif (read := _node(value, problems, depth + 1, key.value)) is not None:
            values[key.value] = read
    return Fields(node.start_mark.line + 1, values)


def _node(node: yaml.Node, problems: Problems, depth: int, name: str) -> "Text | Fields | list[Text | Fields] | None":
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        problems.add(line, "this is nested deeper than anything in a batch file")
        return None
    if isinstance(node, yaml.MappingNode):
        return _fields(node, problems, depth)
    if isinstance(node, yaml.SequenceNode):
        found: list[Text | Fields] = []
        for item in node.value:
            read = _node(item, problems, depth + 1, f"one of {name}")
            if isinstance(read, list):
                problems.add(item.start_mark.line + 1, "a list does not belong into a list")
            elif read is not None:
                found.append(read)
        return found
    if node.tag.endswith(":null"):
        how = "write its value" if not node.value else f"put {node.value} in quotes if it is meant"
        problems.add(line, f"{name} is empty: {how}, or leave it out")
        return None
    try:
        return Text(joined(str(node.value), name), line)
    except TextRefusedError as error:
        problems.add(line, str(error))
        return None
