"""Ten years of a site in an hour or two: who was on must never be locked out, who was off must come back.

    python benchmarks/decade.py [--seed N] [--devices N] [--step DAYS] [--days N] [--keep]

The real gateway in a container and the real plays, under a clock that libfaketime moves; a fleet of devices that renew,
recover, lose power and answers, and are switched off for a day to three years. See virtual/decade. Exits with 1 when a
device that had the right to come in was refused, a play or a job of the gateway failed, or an audit found something.
"""

import sys

from virtual.decade.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["ten-years", *sys.argv[1:]]))
