"""A batch and a bench, as fixtures for the rooms `batch` and `bench`."""

from datetime import datetime
from pathlib import Path

import pytest

from fleetmint.batch.common import Common, Gateway, site_common
from fleetmint.batch.create import BatchLocation, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import Batch, read_batch
from fleetmint.bench.bench import Bench
from fleetmint.ca.hierarchy import Hierarchy

APP = Path(__file__).parents[2] / "firmware"
BATCH = """\
batch: first
prefix: lamp
devices:
  - count: 2
  - count: 1
    key_origin: factory
"""


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    path = tmp_path / "batch.yml"
    path.write_text(BATCH)
    return read_batch(path)


@pytest.fixture
def common(hierarchy: Hierarchy) -> Common:
    wifi = {"default": Wifi("workshop", "correct horse")}
    return site_common(hierarchy.directory, Gateway("localhost", 443, 8883), wifi)


@pytest.fixture
def location(tmp_path: Path) -> BatchLocation:
    return BatchLocation(tmp_path / "batches/first", f"sqlite:///{tmp_path / 'ledger.sqlite'}", "gateway")


@pytest.fixture
def bench(batch: Batch, common: Common, location: BatchLocation, hierarchy: Hierarchy, now: datetime) -> Bench:
    """Burn the batch, which no gateway has been told of."""
    plan_batch(batch, common, location, hierarchy, now).apply()
    return Bench(location.directory, location.ledger, APP, hierarchy.source, unregistered=True)


@pytest.fixture
def short_esptool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have esptool give up after a fraction of a second; its own configuration file is the way to say so."""
    config = tmp_path / "esptool.cfg"
    config.write_text("[esptool]\ntimeout = 0.3\nsync_timeout = 0.05\nwrite_block_attempts = 1\n")
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(config))
