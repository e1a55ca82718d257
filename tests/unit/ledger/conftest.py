from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from fleetmint.ledger import create_schema, open_ledger
from tests.support.gateway_site import site

__all__ = ["site"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty ledger, as the factory has one."""
    engine = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", create=True)
    create_schema(engine, site="test", owner="factory")
    yield engine
    engine.dispose()
