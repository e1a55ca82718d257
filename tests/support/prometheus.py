"""Prometheus' own tool as a judge, and its text as numbers."""

import re
import subprocess
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "contrib/prometheus"
RULES = EXAMPLES / "fleetmint.rules.yml"

_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[-+.e\d]+)")


def complaints(text: str) -> str:
    """Return what promtool has to say about an exposition; empty when that is as it should be."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr


def check_rules(path: Path) -> str:
    """Return what promtool says of a file of alert rules; it has to find them in order."""
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def samples(text: str) -> dict[str, float]:
    """Return the numbers by name and labels, as they are written."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            name = f"{sample['name']}{{{sample['labels']}}}" if sample["labels"] else sample["name"]
            assert name not in found, line
            found[name] = float(sample["value"])
    return found
