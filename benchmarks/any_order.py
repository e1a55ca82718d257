"""What becomes of a ledger by whatever devices, thieves, operators and crashes do in any order, for long.

    PYTHONPATH=. python benchmarks/any_order.py [--examples N] [--steps N]

On SQLite and on PostgreSQL, another order each time. What is found is told with the shortest way to it.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.support.issuing_machine import run


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Whatever happens to a gateway, in any order.")
    parser.add_argument("--examples", type=int, default=500, help="runs from a fresh ledger, on each database")
    parser.add_argument("--steps", type=int, default=60, help="steps of each")
    options = parser.parse_args()
    logging.disable()  # of thousands of refusals, all of them wanted
    for database in ("sqlite", "postgresql"):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fleetmint-order-") as directory:
            run(Path(directory), database, examples=options.examples, steps=options.steps, again=False)
        seconds = time.monotonic() - begun
        sys.stdout.write(
            f"{options.examples} runs of {options.steps} steps on {database}: every promise kept ({seconds:.0f} s)\n"
        )


if __name__ == "__main__":
    main()
