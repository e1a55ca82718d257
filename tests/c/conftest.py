"""The C core of the firmware, compiled on this machine; one directory of objects for all processes of a run."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.c_build import Build
from tests.support.firmware_boards import Board
from tests.support.firmware_flash import modules_in


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    if shutil.which("gcc") is None or shutil.which("g++") is None:
        pytest.skip("no C compiler: scripts/setup test installs gcc and g++")
    return Build(_shared(tmp_path_factory.getbasetemp()) / "c")


def _shared(base: Path) -> Path:
    # A worker of pytest-xdist has a directory of its own below that of the run.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def parsers(build: Build) -> Path:
    """Says what the readers of the core make of something; firmware/c/test/parsers.c knows what can be asked."""
    return build.program("test/parsers.c", "test/lines.c", *build.sources)


@pytest.fixture(scope="session")
def board(micropython: str, tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The MicroPython agent, whose behaviour is the core's too."""
    return Board(micropython, (modules_in(tmp_path_factory.mktemp("firmware")),))
