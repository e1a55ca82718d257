"""Fourteen months of a site of its own within minutes: nobody who is on is locked out, who was off comes back."""

import subprocess
import sys

import pytest

from virtual.purpose import ROOT

PURPOSE = "years"
PATIENCE = 1500


@pytest.fixture
def told():
    command = [sys.executable, "-m", "virtual.decade", "cut", "--purpose", PURPOSE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def test_in_fourteen_months_with_two_rollovers_nobody_is_locked_out(told):
    code, said = told
    assert code == 0, said[-6000:]
    counts = {line[7:]: int(line[:6]) for line in said.splitlines() if line[:6].strip().isdigit()}
    assert counts["rollover"] == 2, said
    assert counts["renewed"] >= 8, said
    assert counts["recovered"] >= 2, said
    assert counts["renewed (boards)"] >= 1, said
    assert "\nnobody was locked out\n" in said
