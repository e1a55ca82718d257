"""The libraries of a gateway, as far as they are on PyPI, and what else is made once for a machine.

A virtual environment for each release of Debian lies in the user's cache, outside of the tree.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

# What apt brings, as far as it is on PyPI.
VERSIONS = {
    "bookworm": [
        "cryptography==38.0.4",
        "flask==2.2.2",
        "werkzeug==2.2.2",
        "sqlalchemy==1.4.46",
        "click==8.1.3",
        "alembic==1.8.1",
    ],
    "trixie": [
        "cryptography==43.0.0",
        "flask==3.1.1",
        "werkzeug==3.1.3",
        "sqlalchemy==2.0.40",
        "click==8.2.0",
        "alembic==1.13.2",
    ],
}


def cache() -> Path:
    """The directory for what is made once for a machine."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetmint"
    place.mkdir(parents=True, exist_ok=True)
    return place


def interpreter(release: str) -> Path:
    """The Python of a virtual environment with the libraries of this release, made when it is missing."""
    wanted = [*VERSIONS[release], "pytest"]
    name = hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    place = cache() / f"{release}-{name}"
    with (cache() / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
            install: list[str | Path] = [
                place / "bin" / "pip",
                "install",
                "-qq",
                "--disable-pip-version-check",
                *wanted,
            ]
            subprocess.run(install, check=True)
            (place / "complete").touch()
    return place / "bin" / "python"
