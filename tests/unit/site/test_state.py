"""The state of a site: what lies where in it, and what is said of a file that cannot tell."""

import json

import pytest

from fleetmint.errors import FleetmintError, StateError
from fleetmint.site.state import Site, checked_ledger

WHOLE = {
    "site": "workshop",
    "station": "bench@workshop",
    "ca": {"directory": "/cas", "passphrases": "file:/secrets", "root_directory": "/media/root"},
    "gateways": {
        "attic": {
            "host": "attic.local",
            "https_port": 8443,
            "mqtt_port": 8884,
            "devices_https_port": 443,
            "devices_mqtt_port": 8883,
        }
    },
    "wifi": [{"name": "default", "ssid": "workshop", "open": False}],
}
ASKED = {
    "name": lambda site: site.name,
    "station": lambda site: site.station,
    "CAs": lambda site: site.hierarchy(),
    "directory of the CAs": lambda site: site.ca_directory,
    "medium of the root": lambda site: site.root_directory,
    "source": lambda site: site.source(),
    "gateways": lambda site: site.gateways,
    "listeners": lambda site: site.listeners("attic"),
    "batches": lambda site: site.batch_values(),
}


@pytest.fixture
def write(tmp_path):
    def write(content):
        (tmp_path / "site.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return Site(tmp_path)

    return write


def test_the_file_says_where_the_cas_and_their_root_are(write):
    site = write(WHOLE)
    assert (str(site.ca_directory), str(site.root_directory)) == ("/cas", "/media/root")
    assert (site.name, site.station, site.gateways) == ("workshop", "bench@workshop", ("attic",))
    assert site.listeners("attic").mqtt_port == 8884


def test_the_file_is_read_once_and_only_when_it_is_asked(write):
    site = write("{")
    assert site.operators == site.directory / "issued/operators"
    site = write(WHOLE)
    assert site.name == "workshop"
    write(WHOLE | {"site": "other"})
    assert site.name == "workshop"


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"ca": [], "gateways": []}', b"\xff".decode("latin-1")])
def test_a_damaged_or_older_file_is_named_with_its_remedy(write, ask, content):
    with pytest.raises(StateError, match=r"site\.json is damaged or of an older version: run .*ca\.yml"):
        ask(write(content))


@pytest.mark.parametrize("ask", [ASKED[name] for name in ("name", "CAs", "source", "gateways", "listeners", "batches")])
def test_a_directory_without_the_file_is_called_no_state(tmp_path, ask):
    with pytest.raises(StateError, match=r"is not the state of a site.*--site.*ca\.yml"):
        ask(Site(tmp_path))


def test_without_a_file_the_cas_are_where_they_are_made(tmp_path):
    assert Site(tmp_path).ca_directory == tmp_path / "ca"
    assert Site(tmp_path).root_directory is None


def test_cas_that_are_not_where_the_file_says_are_missed(write):
    with pytest.raises(StateError, match=r"says that the CAs are in /cas, and nothing is: run .*ca\.yml"):
        write(WHOLE).hierarchy()


def test_a_ledger_that_was_given_counts_before_the_one_in_the_state(tmp_path):
    assert Site(tmp_path).ledger == f"sqlite:///{tmp_path}/ledger.sqlite"
    assert not Site(tmp_path).has_ledger
    (tmp_path / "ledger.sqlite").touch()
    assert Site(tmp_path).has_ledger
    assert Site(tmp_path, given_ledger="sqlite:////other").ledger == "sqlite:////other"


@pytest.mark.parametrize("url", ["postgresql+psycopg2://me:secret@host/ledger", "secret"])
def test_a_password_in_the_url_of_a_ledger_is_refused_and_not_repeated(url):
    with pytest.raises(FleetmintError) as told:
        checked_ledger(url)
    assert "secret" not in str(told.value)


def test_a_batch_that_is_not_there_says_how_batches_come_about(tmp_path):
    (tmp_path / "batches/first").mkdir(parents=True)
    assert Site(tmp_path).batch("first") == tmp_path / "batches/first"
    with pytest.raises(StateError, match=r"there is no batch second in .*batch list.*batch new"):
        Site(tmp_path).batch("second")


def test_the_inventory_is_where_the_file_notes_it_or_else_beside_the_state(tmp_path):
    state, noted = tmp_path / "home/state", tmp_path / "noted"
    state.mkdir(parents=True)
    noted.mkdir()
    assert Site(state).inventory is None
    (tmp_path / "home/hosts.yml").touch()
    assert Site(state).inventory.resolve() == tmp_path / "home"
    (state / "site.json").write_text("{")
    assert Site(state).inventory.resolve() == tmp_path / "home"
    (state / "site.json").write_text(json.dumps({"inventory": str(noted)}))
    assert Site(state).inventory.resolve() == tmp_path / "home"
    (noted / "hosts").touch()
    assert Site(state).inventory == noted
