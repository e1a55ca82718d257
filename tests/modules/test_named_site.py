"""No play acts on a site that was not named, wherever it is started, and none succeeds by doing nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTS = """\
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
SITE = """\
fleet_site: test
fleet_state_dir: "{{ inventory_dir }}/state"
"""
SECRET = "-----BEGIN PRIVATE KEY-----"  # noqa: S105 - the first line of one

# All that the role `operators` wants to know.
REST = """\
fleet_ca_dir: "{{ fleet_state_dir }}/ca"
fleet_ca_passphrases: "file:passphrases"
fleet_wifi: []
fleet_station: bench@test
fleet_gateway_names: [pi.example]
fleet_https_port: 443
fleet_operators_https_port: 8443
fleet_mqtt_port: 8883
fleet_operators_mqtt_port: 8884
"""


@pytest.fixture
def site(tmp_path):
    """An inventory with no gateway, and beside it what lies in the directory of a site in use."""
    site = tmp_path / "my site"
    (site / "group_vars/all").mkdir(parents=True)
    (site / "hosts.yml").write_text(HOSTS)
    (site / "group_vars/all/site.yml").write_text(SITE)
    (site / "batch.yml").write_text("batch: first\nprefix: lamp\n")
    (site / "state/ca/root").mkdir(parents=True)
    (site / "state/ca/root/ca.key").write_text(f"{SECRET}\nnot a real one\n")
    return site


@pytest.fixture
def play(tmp_path):
    """Start a play in a directory that is no checkout, with the project's ansible and nothing else set up."""

    def run(playbook: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), ROOT / "playbooks" / playbook, *arguments],
            cwd=tmp_path,
            env={**inherited, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("playbook", sorted(path.name for path in (ROOT / "playbooks").glob("*.yml")))
def test_every_playbook_refuses_to_run_at_a_site_that_was_not_named(play, playbook):
    done = play(playbook, "--extra-vars=device=lamp-000001")

    assert done.returncode == 1
    assert "No site is named: give its inventory directory with -i" in done.stderr
    assert "PLAY" not in done.stdout


def test_an_empty_name_is_none(play):
    done = play("revoke.yml", "--extra-vars=device=lamp-000001", FLEETMINT_SITE="")

    assert done.returncode == 1
    assert "No site is named" in done.stderr


def test_a_site_that_is_not_there_is_called_so(play, tmp_path):
    for done in (play("revoke.yml", FLEETMINT_SITE="inventory/nowhere"), play("revoke.yml", "-i", "inventory/nowhere")):
        assert done.returncode == 1
        assert "There is no inventory" in done.stderr
        assert "inventory/nowhere" in done.stderr


def test_a_relative_name_in_the_environment_is_meant_from_the_checkout(play):
    done = play("revoke.yml", "--list-hosts", FLEETMINT_SITE="inventory/sample")

    assert done.returncode == 0, done.stderr
    assert "gateway" in done.stdout.split()


def test_a_play_for_hosts_that_are_not_there_is_refused(play, site):
    done = play("revoke.yml", "--extra-vars=device=lamp-000001", FLEETMINT_SITE=str(site))

    assert done.returncode == 1
    assert f"it is for gateways, and {site} has no such host" in done.stderr
    assert f"SITE [test, {site}]" in done.stdout


def test_a_play_of_which_the_limit_leaves_nothing_is_refused(play):
    done = play("revoke.yml", "--extra-vars=device=x", "--limit=localhost", FLEETMINT_SITE="inventory/sample")

    assert done.returncode == 1
    assert "it is for gateways, and --limit localhost leaves none of them" in done.stderr


def test_nothing_of_a_site_but_its_inventory_is_read_from_any_directory(play, site):
    done = play("ca.yml", "-i", str(site), "--list-hosts")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert SECRET not in done.stdout


def test_a_syntax_check_needs_no_site(play):
    assert play("site.yml", "--syntax-check").returncode == 0


def test_a_relative_state_is_meant_from_the_inventory(play, site, tmp_path):
    variables = site / "group_vars/all/site.yml"
    variables.write_text(f"fleet_site: test\nfleet_state_dir: ../far/state\n{REST}")
    (site / "hosts.yml").write_text(HOSTS + "  children:\n    gateways:\n      hosts:\n        gateway:\n")
    shutil.rmtree(site / "state")

    done = play("ca.yml", FLEETMINT_SITE=str(site))

    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "far/state/site.json").read_text())
    assert made["inventory"] == str(site)
    assert made["ca"]["directory"] == str(tmp_path / "far/state/ca")
    assert made["ca"]["passphrases"] == f"file:{site}/passphrases"
    # fleetmint finds the state by the same one name, wherever it is
    fleetmint = [Path(sys.executable).with_name("fleetmint"), "operator", "list"]
    listed = subprocess.run(
        fleetmint, cwd=tmp_path, env={**os.environ, "FLEETMINT_SITE": str(site)}, capture_output=True, text=True
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "bench@test" in listed.stdout
    assert "changed=0" in play("ca.yml", FLEETMINT_SITE=str(site)).stdout
