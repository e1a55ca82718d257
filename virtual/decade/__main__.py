"""python -m virtual.decade [ten-years|cut] [--seed N] [--devices N] [--step N] [--keep]."""

import argparse
import shutil
import sys
import time
from datetime import UTC, datetime

from fleetmint.errors import FleetmintError
from virtual import demo
from virtual.decade import faketime, run, story
from virtual.decade.faketime import Clock
from virtual.decade.site import Site
from virtual.pi import container
from virtual.purpose import ROOT, Purpose


def main(arguments: list[str] | None = None) -> int:
    """Tell a story on a site of its own; return 1 when somebody was locked out, or anything else went wrong."""
    parser = argparse.ArgumentParser(prog="python -m virtual.decade", description="Years of a site, in an hour.")
    parser.add_argument("story", choices=["ten-years", "cut"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--devices", type=int, default=24, help="of the ten years (default: %(default)s)")
    parser.add_argument("--step", type=int, default=1, help="days at a time, of the ten years (default: %(default)s)")
    parser.add_argument("--days", type=int, help="end after so many")
    parser.add_argument("--purpose", default="decade", help="name of the virtual site (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the site as it is, for a look")
    words = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(words)
    purpose = Purpose(options.purpose, ROOT / "inventory/virtual/state" / options.purpose)
    file = purpose.state / "faketime"
    if faketime.is_faked(file):
        return _tell(options, purpose, Clock(file, container.of(purpose.name).name))
    try:
        faketime.library()
        demo.take_down(purpose)
        shutil.rmtree(purpose.state, ignore_errors=True)
        demo.run(demo.pi("up", purpose), purpose)
        for name in ("ca.yml", "gateway.yml"):
            demo.say(f"Making the site (playbooks/{name})")
            demo.playbook(name, purpose)
        code = faketime.restart(file, ["-m", "virtual.decade", *words])
        if not options.keep:
            demo.take_down(purpose)
    except (FleetmintError, demo.FailedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return code


def _tell(options: argparse.Namespace, purpose: Purpose, clock: Clock) -> int:
    chosen = story.cut(options.seed)
    if options.story == "ten-years":
        chosen = story.decade(options.seed, devices=options.devices, step=options.step)
    if options.days:
        chosen = story.until(chosen, options.days)
    begun, started = datetime.now(UTC), time.monotonic()
    try:
        clock.prepare()
        record = run.Simulation(chosen, Site(purpose, clock), clock).run()
    finally:
        clock.close()
    sys.stdout.write(run.table(chosen, record, begun, clock.now(), time.monotonic() - started))
    return 0 if record.good else 1


if __name__ == "__main__":
    sys.exit(main())
