"""Whatever is printed to be typed next is made in one place, which knows the site and where the reader stands."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = sorted(set((ROOT / "src").rglob("*.py")) - {ROOT / "src/fleetmint/commands.py"})
# A command with at least one word: the name alone, or of a playbook, tells nobody to type it.
_TYPED = re.compile(r"`(?:sudo .*)?(?:fleetmint|ansible-playbook|\S*/fleetmint) \w|\bansible-playbook playbooks/")
_HELP = {"help", "epilog", "short_help"}


def _printed(node: ast.AST) -> Iterator[ast.Constant]:
    """Return the texts of a module that a run may print: neither docstrings nor what --help says."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.keyword) and child.arg in _HELP:
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.Call) and getattr(child.func, "id", "") == "examples":
                continue
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and field != "decorator_list":
                yield child
            yield from _printed(child)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_prints_no_command_that_it_has_not_made(path):
    found = [f"line {each.lineno}: {each.value}" for each in _printed(ast.parse(path.read_text()))]
    assert [text for text in found if _TYPED.search(text)] == []


@pytest.mark.parametrize("room", ["roles", "playbooks", "collections"])
def test_neither_does_a_role_or_a_module(room):
    texts = {
        path: re.sub(r"^\s*#.*$|C\([^)]*\)", "", path.read_text(), flags=re.MULTILINE)
        for pattern in ("*.yml", "*.py")
        for path in (ROOT / room).rglob(pattern)
    }
    assert texts
    assert [str(path) for path, text in texts.items() if _TYPED.search(text)] == []


def test_a_command_that_is_not_made_is_found():
    source = 'def f(x):\n    """Say `fleetmint audit now`."""\n    raise E(f"{x}: run `fleetmint batch show` first")\n'
    assert [each.lineno for each in _printed(ast.parse(source)) if _TYPED.search(each.value)] == [3]
