"""The gateway runs on Debian's libraries, whose parsers are others than the lock's: the same tests with those.

A virtual environment for each release lies in the user's cache, outside of the tree, and is made once for a machine.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import scratch

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
# Whatever takes bytes from strangers, and what it does with them; and what makes tables anew.
FILES = [
    "ledger/test_migrations.py",
    "x509/test_der.py",
    "x509/test_pem.py",
    "x509/test_request.py",
    "service/test_enrol.py",
    "service/test_est.py",
    "service/test_foreign_bytes.py",
    "gateway/test_publish.py",
    "service/test_stations.py",
    "service/test_trust_bundle.py",
]
UNIT = Path(__file__).parent.parent


def interpreter(release: str) -> Path:
    """The Python of a virtual environment with the libraries of this release, made when it is missing."""
    wanted = [*VERSIONS[release], "pytest"]
    name = hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetmint"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{release}-{name}"
    with (cache / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
            install = [place / "bin" / "pip", "install", "-qq", "--disable-pip-version-check", *wanted]
            subprocess.run(install, check=True)
            (place / "complete").touch()
    return place / "bin" / "python"


@pytest.mark.parametrize("release", VERSIONS)
def test_foreign_bytes_are_taken_and_refused_alike_with_the_libraries_of(release):
    command = [interpreter(release), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    path = [str(UNIT.parents[1] / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    # a place of its own with a short name: the broker's double listens on a socket below it
    with tempfile.TemporaryDirectory(prefix="debian-", dir=scratch.root()) as place:
        done = subprocess.run(
            [*command, f"--basetemp={place}/t", *(UNIT / file for file in FILES)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTEST_ADDOPTS": ""},
            cwd=UNIT.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
