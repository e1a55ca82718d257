from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_site import GatewaySite, make_gateway_site
from sqlalchemy.engine import Engine

from fleetmint.ledger import create_schema, open_ledger


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> GatewaySite:
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty ledger, as the factory has one."""
    engine = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", create=True)
    create_schema(engine, site="test", owner="factory")
    yield engine
    engine.dispose()
