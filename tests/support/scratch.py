"""Where the tests leave their files: in memory if there is room; a ledger and a CA wait for a disk at each write."""

import os
import sys
import tempfile
from pathlib import Path

# What a run needs at most, with some to spare.
ROOM = 3 << 30
VARIABLE = "PYTEST_DEBUG_TEMPROOT"  # pytest's own


def prefer_memory() -> None:
    """Have pytest make its directories on a tmpfs with room; without one they are where they always are."""
    if VARIABLE in os.environ:
        return
    for place in (Path("/dev/shm"), Path(os.environ.get("XDG_RUNTIME_DIR") or "/dev/shm")):  # noqa: S108 - looked at
        if _serves(place):
            os.environ[VARIABLE] = str(place)
            return


def root() -> Path:
    """Return the directory below which this run leaves its files."""
    return Path(os.environ.get(VARIABLE) or tempfile.gettempdir())


def _serves(place: Path) -> bool:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        memory = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
        found = os.statvfs(place)
    except OSError:
        return False
    return (
        [str(place), "tmpfs"] in mounts
        and os.access(place, os.W_OK)
        and not found.f_flag & os.ST_NOEXEC  # some tests run what they write
        and min(found.f_bavail * found.f_frsize, int(memory.get("MemAvailable:", 0)) * 1024) > ROOM
    )


if __name__ == "__main__":
    prefer_memory()
    sys.stdout.write(f"{root()}\n")
