"""The C core with BearSSL, as it runs on an ESP8266, on this machine."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.c_build import CORE, Build

# Their headers; what the double of the hardware needs of POSIX stands in its own sources.
PORT = (f"-I{CORE / 'port' / 'bearssl'}", f"-I{CORE / 'port' / 'host'}")
LIBRARY = ("-lbearssl",)


def program(build: Build, *sources: str, flags: Sequence[str] = (), objects: Sequence[Path] = ()) -> Path:
    """Return a program of these sources with the port for BearSSL, the double of a board, and all of the core."""
    if shutil.which("gcc") is None or not Path("/usr/include/bearssl.h").exists():
        pytest.skip("no BearSSL: scripts/setup test installs libbearssl-dev")
    rest = [
        *sorted(CORE.glob("port/bearssl/*.c")),
        CORE / "port" / "host" / "host.c",
        CORE / "test" / "board_bearssl.c",
        CORE / "test" / "trickle.c",
        *sorted(CORE.glob("src/*.c")),
    ]
    parts = [path.relative_to(CORE) for path in rest]
    libraries = [*(str(path) for path in objects), *LIBRARY]
    return build.program(*sources, *parts, flags=(*PORT, *flags), libraries=libraries)
