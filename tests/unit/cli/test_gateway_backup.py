"""`fleetmint gateway backup` and `restore`, as a play calls them."""

import json
import stat
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from tests.support.gateway_site import make_gateway_site


@pytest.fixture
def site(tmp_path, tmp_path_factory):
    site = make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")
    site.register(datetime.now(UTC), "lamp-000001")
    return site


@pytest.fixture
def gateway(site, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def run(*arguments):
        return CliRunner().invoke(root, ["gateway", *map(str, arguments)])

    return run


def test_a_backup_is_readable_by_its_owner_only_and_can_be_gone_on_with(site, gateway, tmp_path):
    path = tmp_path / "backup.tar"
    assert json.loads(gateway("backup", "--json", path).stdout)["bytes"] == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ledger = site.root / "ledger.sqlite"
    ledger.unlink()
    said = gateway("restore", "--check", path)
    assert said.stdout.startswith("restore the ledger with 1 devices\n")
    assert "end 1 unused tokens" in said.stdout
    assert not ledger.exists()
    assert json.loads(gateway("restore", "--json", path).stdout)["void"] == 1
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    assert site.findings() == ()
    again = gateway("restore", path)
    assert again.exit_code == 1
    assert "--replace" in again.stderr
    kept = gateway("restore", "--replace", "--keep-tokens", path)
    assert (kept.exit_code, "the gateway went on after this backup" in kept.stderr) == (1, True)
    assert gateway("restore", "--replace", path).exit_code == 0
    assert list(site.root.glob("ledger.sqlite.before-*"))


def test_a_backup_into_a_directory_that_is_not_there_is_told(gateway, tmp_path):
    done = gateway("backup", tmp_path / "none/backup.tar")
    assert done.exit_code == 1
    assert "cannot write" in done.stderr
