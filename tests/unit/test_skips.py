"""No test is skipped unseen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
@pytest.fixture
def tool():
    pytest.skip("no tool")
def test_in_the_fixture(tool): pass
def test_in_the_test(): pytest.skip("no tool")
@pytest.mark.skip(reason="no tool")
def test_by_a_mark(): pass
def test_that_runs(): pass
"""


@pytest.mark.parametrize(("ci", "said"), [("true", "1 failed, 1 passed, 2 errors"), ("", "1 passed, 3 skipped")])
def test_a_skip_is_a_failure_in_ci_with_its_reason(tmp_path, ci, said):
    tests = Path(__file__).parents[1]
    (tmp_path / "conftest.py").write_bytes((tests / "conftest.py").read_bytes())
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", tmp_path]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(tests.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert said in done.stdout
    assert done.stdout.count("no tool") >= 3
    assert (done.returncode == 0) == (not ci)
