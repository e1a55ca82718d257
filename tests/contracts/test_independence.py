"""No test file needs another one: what two of them use lies beside them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.contracts.quoted import ROOT

FILES = sorted([*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "molecule").rglob("test_*.py")])


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_no_test_file_is_imported_by_another():
    found = {(str(path.relative_to(ROOT)), name) for path in FILES for name in imported(path)}
    assert len(found) > 500
    assert {(file, name) for file, name in found if re.search(r"(^|\.)test_", name)} == set()
