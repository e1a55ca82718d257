"""The gateway runs on Debian's libraries, whose parsers are others than the lock's: the same tests with those."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support import scratch
from tests.support.debian import VERSIONS, interpreter

# Whatever takes bytes from strangers, and what it does with them; and what makes tables anew.
FILES = [
    "ledger/test_migrations.py",
    "x509/test_der.py",
    "x509/test_pem.py",
    "x509/test_request.py",
    "service/test_enrol.py",
    "service/test_est.py",
    "service/test_foreign_bytes.py",
    "service/test_hostile.py",
    "gateway/test_publish.py",
    "service/test_operators.py",
    "service/test_stations.py",
    "service/test_trust_bundle.py",
]
UNIT = Path(__file__).parent.parent


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
