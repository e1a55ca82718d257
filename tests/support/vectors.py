"""The certificate requests among pyca/cryptography's test vectors: made to be read wrongly.

They are 30 kB of a package of 125 MB, so it is fetched once for a machine and never installed.
"""

import fcntl
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from tests.support.debian import cache

NAME = "cryptography_vectors-50.0.2-py3-none-any.whl"
_SHA256 = "51641f03a3eb4edbe9fb68e3a3574d25f86aa502d06391fffa886330d02778a0"
_PLACE = "cryptography_vectors/x509/requests"


def requests() -> dict[str, bytes]:
    """Return all of them by file name, PEM or DER."""
    with zipfile.ZipFile(_wheel()) as wheel:
        names = [PurePosixPath(name) for name in wheel.namelist()]
        return {name.name: wheel.read(str(name)) for name in names if str(name.parent) == _PLACE and name.suffix}


def _wheel() -> Path:
    place = cache() / "vectors"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / NAME).exists():
            (place / "pinned.txt").write_text(f"cryptography-vectors==50.0.2 --hash=sha256:{_SHA256}\n")
            pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "--require-hashes", "--dest", place, "-r", place / "pinned.txt"], check=True)
    return place / NAME
