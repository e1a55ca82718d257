"""What the role `controller` tells the commands, read by the code that reads it."""

import json
import shutil
import subprocess

import jinja2
import pytest

from fleetmint.batch.common import gateway
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
    "controller_alert_command": ["curl", "-T", "-"],
    "fleet_wifi": [
        {"name": "default", "ssid": "workshop", "psk": "correct horse"},
        {"name": "guests", "ssid": "café", "psk": ""},
    ],
}


@pytest.fixture
def render(controller):
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["to_json"] = json.dumps

    def render(template, **values):
        return environment.from_string((controller.templates / template).read_text()).render(**values)

    return render


@pytest.fixture
def write(tmp_path, render):
    (tmp_path / "ca").mkdir()

    def write(**values):
        (tmp_path / "site.json").write_text(
            render("state/site.json.j2", **VALUES | values, fleet_ca_dir=str(tmp_path / "ca"))
        )
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


def test_whoever_runs_it_without_a_person_knows_whom_to_tell(state):
    assert Site(state).alert_command == ["curl", "-T", "-"]


def test_the_commands_know_where_the_medium_of_the_root_is(write, tmp_path):
    hierarchy = Site(write(controller_root_dir="/media/me/root")).hierarchy()
    assert str(hierarchy.store.key_path(ROOT)) == "/media/me/root/ca.key"
    assert Site(write()).hierarchy().store.key_path(ROOT) == tmp_path / "ca/root/ca.key"


def test_a_batch_finds_gateways_and_networks_in_it(state):
    found = Site(state).batch_values()
    assert found.gateways["second"] == gateway("second.local", 443, 8883, "compatible", {})
    assert list(found.gateways) == ["gateway", "second"]
    assert found.networks == {"default": ("workshop", False), "guests": ("café", True)}


UNITS = "systemd/fleetmint-monthly"
MONTHLY = {
    "ansible_managed": "Ansible managed",
    "fleet_site": "workshop",
    "controller_monthly_calendar": "monthly",
    "__controller_environment": {"FLEETMINT_STATE": "/home/anna/my %site/state"},
    "__controller_program": "/opt/my $venv/bin/fleetmint",
}


def test_the_timer_starts_a_run_of_the_site_every_month_and_after_a_month_off(render):
    timer = render(f"{UNITS}.timer.j2", **MONTHLY)
    assert "OnCalendar=monthly\n" in timer
    assert "Persistent=true\n" in timer
    service = render(f"{UNITS}.service.j2", **MONTHLY)
    assert 'Environment="FLEETMINT_STATE=/home/anna/my %%site/state"\n' in service
    assert 'ExecStart="/opt/my $venv/bin/fleetmint" site run\n' in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_timer_and_what_it_starts(render, tmp_path):
    program = tmp_path / "my $venv %1" / "fleetmint"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    for kind in ("service", "timer"):
        text = render(f"{UNITS}.{kind}.j2", **(MONTHLY | {"__controller_program": str(program)}))
        (tmp_path / f"fleetmint-monthly-x.{kind}").write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("*.*")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "fleetmint" in line] == []
