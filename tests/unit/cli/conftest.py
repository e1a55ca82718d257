"""A site's state on a controller, and the commands that work on it."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetmint.batch.common import Gateway, site_common
from fleetmint.batch.create import BatchLocation, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import read_batch
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import plan_client
from fleetmint.cli import root
from fleetmint.passphrases import Stored
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem

BATCH = "batch: first\nprefix: lamp\ndevices:\n  - count: 1\n  - count: 1\n    key_origin: factory\n"


@pytest.fixture
def state(hierarchy: Hierarchy, tmp_path: Path, now: datetime) -> Path:
    """Two operators, the bench, a gateway's certificate, and a batch with one device of each kind."""
    for name, profile in (("alice@test", "operator"), ("bob@test", "operator"), ("bench@test", "station")):
        plan_client(hierarchy, profile, name, tmp_path / "issued/operators", now).apply()
    server = hierarchy.authority("server")
    leaf = server.issue("server", keys.new_key().public_key(), "gateway", now=now, sans=["gateway.local"])
    (tmp_path / "issued/gateway").mkdir()
    (tmp_path / "issued/gateway/nginx.crt").write_bytes(pem(leaf, server.certificate))
    (tmp_path / "batch.yml").write_text(BATCH)
    wifi = {"default": Wifi("w", "p" * 8)}
    common = site_common(hierarchy.directory, Gateway("gateway.local", 443, 8883), wifi)
    place = BatchLocation(tmp_path / "batches/first", f"sqlite:///{tmp_path / 'ledger.sqlite'}", "gateway")
    plan_batch(read_batch(tmp_path / "batch.yml"), common, place, hierarchy, now).apply()
    assert isinstance(hierarchy.source, Stored)
    ca = {"directory": str(hierarchy.directory), "passphrases": f"file:{hierarchy.source.directory}"}
    site = {"site": "test", "station": "bench@test", "ca": ca, "gateways": {}}
    (tmp_path / "site.json").write_text(json.dumps(site))
    return tmp_path


@pytest.fixture
def fleetmint(state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command; with --json among its arguments and no refusal, return the object it printed."""
    monkeypatch.setenv("FLEETMINT_STATE", str(state))

    def run(*arguments: object, **options: Any) -> Any:
        result = CliRunner().invoke(root, [*map(str, arguments)], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        if "--json" in arguments and result.stdout:
            return json.loads(result.stdout)
        return result

    return run


@pytest.fixture
def refused() -> Callable[..., None]:
    """Check that a command was refused with one sentence on stderr that holds `words`."""

    def check(result: Result, *words: str) -> None:
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        for word in words:
            assert word in result.stderr

    return check
