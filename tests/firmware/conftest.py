"""The firmware under the real MicroPython: its modules in a directory, a site's PKI, a gateway to talk to."""

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.firmware_boards import BOOT, Board, Booted
from tests.support.firmware_flash import flash_in, modules_in
from tests.support.firmware_gateway import Gateway, gateway_of
from tests.support.firmware_site import Site, make_site


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules of the firmware with the names of the NVS keys, and beside them the doubles."""
    return modules_in(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def board(micropython: str, firmware: Path) -> Board:
    return Board(micropython, (firmware,))


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="session")
def foreign_site() -> Site:
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def flash_file(tmp_path: Path) -> Callable[..., Path]:
    """A flash as the factory leaves it: table, program, and an NVS with these values."""

    def make(values: dict[str, int | bytes], *, main: str | None = None) -> Path:
        return flash_in(tmp_path, values, main)

    return make


@pytest.fixture
def boot(micropython: str) -> Iterator[Callable[..., Booted]]:
    """Boot a board from a flash file; every board is switched off in the end."""
    boards: list[Booted] = []

    def start(flash: Path, **environment: str) -> Booted:
        process = subprocess.Popen(
            [micropython, str(BOOT / "boot.py"), str(flash), "24:0a:c4:00:00:07"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        boards.append(Booted(process, flash, []))
        return boards[-1]

    yield start
    for board in boards:
        board.process.kill()
        board.process.communicate()


@pytest.fixture
def gateway(site: Site, tmp_path: Path) -> Iterator[Gateway]:
    with gateway_of(site, tmp_path / "gateway") as made:
        yield made
