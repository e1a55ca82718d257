import re
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks/issue.py"


def test_the_benchmark_runs_and_prints_its_ratio():
    # so few rounds say nothing about the ratio, so both verdicts are good
    command = [sys.executable, str(BENCHMARK), "--rounds", "1", "--count", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"device certificate with key \d+ us, .*: ratio \d+\.\d\d \(limit 6\)\n", done.stdout), (
        done.stderr
    )
    assert done.returncode in (0, 1)
