"""Nineteen months of a site of its own, under a clock that is moved. benchmarks/decade.py lives through ten years."""

import re
import subprocess
import sys

from virtual.purpose import ROOT

SECONDS = 900


def test_in_nineteen_months_nobody_is_locked_out_who_was_on_and_everybody_else_comes_back():
    command = [sys.executable, "-m", "virtual.decade", "cut", "--purpose", "years"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counts = {what: int(count) for count, what in re.findall(r"^ +(\d+) (.+)$", done.stdout, re.MULTILINE)}
    # what the story is told for has come to pass in it
    assert counts["renewed"] >= 12, done.stdout
    assert counts["recovered"] >= 2, done.stdout
    assert counts["brought back by a token"] >= 1, done.stdout
    assert counts["rollover"] == 2, done.stdout
    assert re.search(r"^named: day +\d+ \S+ lamp-\d+: fleetmint token new lamp-\d+", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("nobody was locked out\n")
