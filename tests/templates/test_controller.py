"""What the role `controller` tells the commands, read by the code that reads it."""

import json

import jinja2
import pytest

from fleetmint.batch.common import Gateway
from fleetmint.ca.identifier import ROOT
from fleetmint.site.state import Site

VALUES = {
    "fleet_site": "workshop",
    "inventory_dir": "/site",
    "fleet_station": "bench@workshop",
    "controller_root_dir": "",
    "fleet_ca_passphrases": "vault:/site/passphrases",
    "groups": {"gateways": ["gateway", "second"]},
    "hostvars": {
        name: {
            "fleet_gateway_names": [f"{name}.local"],
            "fleet_operators_https_port": 8443,
            "fleet_operators_mqtt_port": 8884,
            "fleet_https_port": 443,
            "fleet_mqtt_port": 8883,
        }
        for name in ("gateway", "second")
    },
    "fleet_wifi": [
        {"name": "default", "ssid": "workshop", "psk": "correct horse"},
        {"name": "guests", "ssid": "café", "psk": ""},
    ],
}


@pytest.fixture
def write(tmp_path, controller):
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((controller.templates / "state/site.json.j2").read_text())
    (tmp_path / "ca").mkdir()

    def write(**values):
        (tmp_path / "site.json").write_text(template.render(**VALUES | values, fleet_ca_dir=str(tmp_path / "ca")))
        return tmp_path

    return write


@pytest.fixture
def state(write):
    return write()


def test_the_commands_find_gateways_and_cas_in_it(state):
    assert Site(state).listeners("second").host == "second.local"
    hierarchy = Site(state).hierarchy()
    assert (hierarchy.directory, hierarchy.site) == (state / "ca", "workshop")
    assert str(hierarchy.source.directory) == "/site/passphrases"


def test_it_names_the_source_of_the_passphrases_and_nothing_else(state):
    site = json.loads((state / "site.json").read_text())
    assert site["ca"] == {"directory": str(state / "ca"), "passphrases": "vault:/site/passphrases"}
    assert "correct horse" not in json.dumps(site)


def test_the_commands_know_where_the_medium_of_the_root_is(write, tmp_path):
    hierarchy = Site(write(controller_root_dir="/media/me/root")).hierarchy()
    assert str(hierarchy.store.key_path(ROOT)) == "/media/me/root/ca.key"
    assert Site(write()).hierarchy().store.key_path(ROOT) == tmp_path / "ca/root/ca.key"


def test_a_batch_finds_gateways_and_networks_in_it(state):
    found = Site(state).batch_values()
    assert found.gateways["second"] == Gateway("second.local", 443, 8883)
    assert list(found.gateways) == ["gateway", "second"]
    assert found.networks == {"default": ("workshop", False), "guests": ("café", True)}
