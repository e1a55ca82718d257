"""The class of a batch's devices: the ports they are told, and a gateway that has none for them."""

import json
from dataclasses import replace

import pytest

from fleetmint.batch import overview, secrets
from fleetmint.batch.common import Ports, SiteValues, gateway
from fleetmint.batch.create import foresee_batch_file, plan_batch_file
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import BatchRefusedError
from fleetmint.errors import FleetmintError
from fleetmint.nvs import keys

OWN = {"modern": {"https_port": 9443, "mqtt_port": 9883, "listen_https_port": 19443}}
WIFI = {"default": Wifi("workshop", "correct horse")}


def site(classes=OWN, profile="compatible"):
    return SiteValues({"gateway": gateway("pi.example", 443, 8883, profile, classes)}, WIFI)


@pytest.fixture
def made(hierarchy, now, tmp_path):
    """Make a batch and return its plan; its file has the text, behind a prefix."""

    def make(text, values=None):
        path = tmp_path / "nova.yml"
        path.write_text(f"prefix: nova\n{text}devices: [{{count: 1}}]\n")
        ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        plan = plan_batch_file(path, values or site(), tmp_path / "batches", ledger, hierarchy, now)
        plan.apply()
        return plan

    return make


def told(hierarchy, now, tmp_path):
    known = secrets.load(tmp_path / "batches/nova", hierarchy.source)
    entries = nvs_entries("nova-000001", known, now)[keys.NAMESPACE]
    return entries[keys.HTTPS_PORT], entries[keys.MQTT_PORT]


@pytest.mark.parametrize(
    ("text", "profile", "ports"),
    [
        ("", "compatible", (443, 8883)), ("tls: modern\n", "compatible", (9443, 9883)),
        # those of all speak it
        ("tls: tls12\n", "compatible", (443, 8883)), ("tls: modern\n", "modern", (9443, 9883)),
    ],
)  # fmt: skip
def test_the_nvs_of_a_board_has_the_ports_of_its_class(made, hierarchy, now, tmp_path, text, profile, ports):
    made(text, site(profile=profile))
    assert told(hierarchy, now, tmp_path) == ports


def test_a_class_without_ports_of_its_own_has_those_of_all_where_they_speak_it(made, hierarchy, now, tmp_path):
    made("tls: modern\n", site({}, "modern"))
    assert told(hierarchy, now, tmp_path) == (443, 8883)


@pytest.mark.parametrize(("values", "name"), [(site({}), "modern"), (site({}, "modern"), "tls12")])
def test_a_gateway_without_the_class_is_named_with_file_line_and_remedy(made, tmp_path, values, name):
    with pytest.raises(
        BatchRefusedError, match=rf"nova\.yml, line 2: gateway has no .* {name}: give {name} .*_classes, and"
    ):
        made(f"tls: {name}\n", values)
    with pytest.raises(BatchRefusedError, match="has no listeners"):
        foresee_batch_file(tmp_path / "nova.yml", values)
    assert not (tmp_path / "batches").exists()


def test_another_word_is_no_class(made):
    with pytest.raises(BatchRefusedError, match=r"nova\.yml, line 2: 'tls13' is no tls: choose one of tls12, modern"):
        made("tls: tls13\n")


def test_boards_burnt_after_the_class_has_changed_get_the_other_ports(made, hierarchy, now, tmp_path):
    made("")
    plan = made("tls: modern\n")
    assert plan.reasons == (
        "what devices of nova get has changed: https_port, mqtt_port",
        "describe the batch nova anew",
    )
    assert told(hierarchy, now, tmp_path) == (9443, 9883)
    assert not made("tls: modern\n").changed


def test_what_class_a_device_is_of_stands_with_its_batch(made, tmp_path):
    assert overview.classes(tmp_path / "batches") == {}
    made("")
    assert "tls" not in json.loads((tmp_path / "batches/nova/batch.json").read_text())
    assert overview.classes(tmp_path / "batches") == {"nova-000001": None}
    made("tls: modern\n")
    assert overview.classes(tmp_path / "batches") == {"nova-000001": "modern"}


def test_a_gateway_is_found_by_class():
    found = gateway("pi.example", 443, 8883, "compatible", OWN)
    assert found.classes == {"tls12": Ports(443, 8883), "modern": Ports(9443, 9883)}
    assert found.of_class(None) == found
    assert found.of_class("modern") == replace(found, https_port=9443, mqtt_port=9883)
    with pytest.raises(FleetmintError, match="has no listeners of the class tls12"):
        gateway("pi.example", 443, 8883, "modern", {}).of_class("tls12")
