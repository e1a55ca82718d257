import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import open_source


@pytest.fixture
def hierarchy(tmp_path: Path, now: datetime) -> Hierarchy:
    """A whole site with one gateway."""
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"))
    plan_hierarchy(site, ["gateway"], now).apply()
    return site


@pytest.fixture
def openssl() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run openssl and return the finished process."""

    def run(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)

    return run


@pytest.fixture(autouse=True)
def _ledgers_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close at the end of a test what it opened: a service keeps its ledger open for as long as it runs."""
    opened: list[Engine] = []

    def create(*arguments: Any, **options: Any) -> Engine:
        opened.append(create_engine(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr("fleetmint.ledger.engine.create_engine", create)
    yield
    for ledger in opened:
        ledger.dispose()


@pytest.fixture
def full_disk() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Return a context in which no file can grow beyond so many bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture
def snapshot() -> Callable[[Path], dict[Path, tuple[int, bytes | None]]]:
    """Return every file below a directory with content and mode, to compare before and after."""

    def take(directory: Path) -> dict[Path, tuple[int, bytes | None]]:
        return {
            path: (path.stat().st_mode, path.read_bytes() if path.is_file() else None) for path in directory.rglob("*")
        }

    return take
