"""Make a batch again and again, each time in a copy of its own, and be killed one step later: kill -9, really.

    python batch_cut.py TEMPLATE CUTS CA FILE NOW

NOW is a time of ISO 8601, not before the CA's. Every copy is CUTS/<n>; the last one, which nothing killed, is finished.
A step is what reaches the disk or the ledger.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from fleetmint.batch.common import Gateway, site_common
from fleetmint.batch.create import BatchLocation, Created, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.sealed import BatchKey
from fleetmint.batch.spec import read_batch
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import open_source
from fleetmint.plan import Plan


def make_plan(root: Path, ca: Path, file: Path, now: datetime, name: str = "first") -> Plan[Created]:
    """Plan the batch of `file` below `root`, with passphrases of its own for batches."""
    hierarchy = Hierarchy(ca, "test", open_source(f"file:{root / 'passphrases'}"))
    common = site_common(ca, Gateway("localhost", 443, 8883), {"default": Wifi("workshop", "correct horse")})
    place = BatchLocation(root / "batches" / name, f"sqlite:///{root / 'ledger.sqlite'}", "gateway")
    return plan_batch(read_batch(file), common, place, hierarchy, now)


def _die_at(step: int) -> None:
    """Let this process be killed at the step of this number: before it happens, or behind it."""
    steps = count(1)

    def tick(*_: object) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            tick()
            result = function(*args, **kwargs)
            tick()
            return result

        return wrapped

    os.fsync = around(os.fsync)
    for owner, name in ((Path, "replace"), (Path, "mkdir"), (Path, "touch"), (BatchKey, "seal")):
        setattr(owner, name, around(getattr(owner, name)))
    event.listen(Engine, "begin", tick)
    event.listen(Engine, "commit", tick)


def main(template: Path, cuts: Path, ca: Path, file: Path, now: datetime) -> None:
    """Make copies until one is not killed."""
    for step in count(1):
        root = cuts / f"{step:03d}"
        shutil.copytree(template, root)
        child = os.fork()
        if child == 0:
            _die_at(step)
            make_plan(root, ca, file, now).apply()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status != -signal.SIGKILL:
            raise SystemExit(f"step {step} ended with {status}")


if __name__ == "__main__":
    template, cuts, ca, file = map(Path, sys.argv[1:5])
    main(template, cuts, ca, file, datetime.fromisoformat(sys.argv[5]))
