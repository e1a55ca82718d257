"""The messages that documents explain are those that commands, roles and boards print."""

import ast
import functools
import re

import pytest

from tests.contracts.quoted import ROOT

# Pages with tables whose first column is what somebody sees.
PAGES = ["docs/troubleshooting.md", "docs/bench.md"]
HEADERS = ("it says", "the board says", "you see")


def rows(page):
    """Return the first cells of the tables of messages of a page."""
    cells, wanted = [], False
    for line in (ROOT / page).read_text().splitlines():
        first = line.strip("| ").partition(" | ")[0].strip()
        if not line.startswith("|"):
            wanted = False
        elif first in HEADERS:
            wanted = True
        elif wanted and not set(line) <= set("|- "):
            cells.append(first)
    return cells


@functools.cache
def said() -> str:
    """Return everything that is printed anywhere, each text on one line, with `…` for what is filled in."""
    found = []
    for room in ("src", "firmware", "collections", "scripts"):
        for path in (ROOT / room).rglob("*.py"):
            found += _texts(ast.parse(path.read_text()))
    for pattern in ("roles/**/*.yml", "roles/**/*.j2"):
        found += [re.sub(r"\{\{.*?\}\}", "…", path.read_text(), flags=re.DOTALL) for path in ROOT.glob(pattern)]
    return "\n".join(" ".join(text.split()) for text in found)


def _texts(tree):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        else:
            yield from _texts(node)


CELLS = [(page, cell) for page in PAGES for cell in rows(page)]


def test_there_are_many():
    assert len(CELLS) > 100


@pytest.mark.parametrize(("page", "cell"), CELLS, ids=[f"{page}: {cell}" for page, cell in CELLS])
def test_a_message_that_is_explained_is_printed(page, cell):
    """Every piece between what is filled in counts; in backticks is what others say, in italics what is no text."""
    mine = re.sub(r"`[^`]*`|\*.*\*", "", cell).strip(" ,")
    pieces = [piece.strip(" ,:;“”()") for piece in re.split(r"…|“|”", mine)]
    for piece in pieces:
        alternatives = [piece, *piece.split(", ")]
        assert not piece or piece in said() or all(each in said() for each in alternatives[1:]), piece
