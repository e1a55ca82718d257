"""A PostgreSQL for a test or a campaign: a cluster in a temporary directory, reached by a unix socket only."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetmint.errors import FleetmintError

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"


@contextmanager
def cluster() -> Iterator[str]:
    """Start a server, give the SQLAlchemy URL of an empty database on it, and end the server."""
    directory = Path(tempfile.mkdtemp(prefix="fleetmint-pg-"))
    # initdb refuses to run as root
    user = _USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(directory, user)
    data = directory / "data"
    try:
        _run(
            "initdb", "--encoding=UTF8", "--auth=trust", f"--username={_USER}", "--no-sync", "--pgdata", data, user=user
        )
        options = f"-c listen_addresses= -c unix_socket_directories={directory} -c max_connections=200"
        log = directory / "log"
        _run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", log, "--options", options, user=user)
        try:
            yield f"postgresql+psycopg://{_USER}@/postgres?host={directory}"
        finally:
            _run("pg_ctl", "stop", "--mode=immediate", "--pgdata", data, user=user)
    finally:
        shutil.rmtree(directory)


def _run(program: str, *arguments: str | Path, user: str | None) -> None:
    command = [str(_find(program)), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(  # noqa: S603 - Debian's own program
        command,
        user=pwd.getpwnam(user).pw_uid if user else None,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FleetmintError(f"{program} failed: {done.stderr.strip()}")


def _find(program: str) -> Path:
    """Return Debian's newest version of a server program, which is on nobody's PATH."""
    found = sorted(_DEBIAN.glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1]
    there = shutil.which(program)
    if there is None:
        raise FleetmintError(f"PostgreSQL's {program} is not installed: run scripts/setup test")
    return Path(there)
