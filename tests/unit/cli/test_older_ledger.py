"""A newer Fleetmint at the bench, whose ledger is of the version before: as somebody sees it who types commands."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleetmint.ledger.schema import VERSION

DUMP = Path(__file__).parents[1] / "ledger" / "dumps" / "0003.sqlite.sql"
KEPT = "ledger.sqlite.version-0003"


@pytest.fixture
def older(state):
    """The ledger of the site as it would be if an earlier Fleetmint had made it; the batch `first` is not in it."""
    content = json.loads((state / "site.json").read_text())
    ports = {"https_port": 8443, "mqtt_port": 8884, "devices_https_port": 443, "devices_mqtt_port": 8883}
    content["gateways"] = {"gateway": {"host": "gateway.local", **ports}}
    content["wifi"] = [{"name": "default", "ssid": "workshop", "open": True}]
    (state / "site.json").write_text(json.dumps(content))
    (state / "spring.yml").write_text("batch: spring\nprefix: bulb\ndevices:\n  - count: 2\n")
    path = state / "ledger.sqlite"
    for each in state.glob("ledger.sqlite*"):
        each.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
        connection.execute("update settings set value = 'test' where name = 'site'")
        connection.commit()
    return path


def content(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def test_what_only_looks_works_and_changes_nothing(state, older, fleetmint):
    before = content(older)
    assert "identities checked" in fleetmint("audit").output
    assert fleetmint("batch", "new", state / "spring.yml", "--check", "--json")["changed"] is True
    assert content(older) == before
    assert not (state / KEPT).exists()


@pytest.mark.parametrize(
    "words", [("batch", "new", "spring.yml"), ("batch", "list"), ("device", "release", "lamp-000003")]
)
def test_the_first_command_that_works_with_it_brings_it_up_to_date_and_says_so(state, older, fleetmint, words):
    before = content(older)
    result = fleetmint(*[state / word if word.endswith(".yml") else word for word in words])
    assert result.exit_code == 0, result.stderr
    assert f"brought from version 0003 to {VERSION}" in result.stderr
    assert content(state / KEPT) == before
    again = fleetmint("batch", "list")
    assert (again.exit_code, again.stderr) == (0, "")
    assert list(state.glob("*.version-*")) == [state / KEPT]
