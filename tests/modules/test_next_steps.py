"""What `site.yml`, `factory.yml` and `make demo` say at their end: lines to paste, one below the other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import printed
from virtual import demo
from virtual.purpose import INVENTORY, Purpose

ROOT = Path(__file__).parents[2]
HOSTS = """\
controller:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
gateways:
  hosts:
    gateway:
      # what the parts of the play before have left
      __factory_boards: {document: '{"devices": [{"device": "lamp-000001"}]}'}
"""
SITE = """\
fleet_site: test
fleet_state_dir: "{{ inventory_dir }}/state"
fleet_gateway_names: [gateway.local]
fleet_operators_https_port: 8443
operators_names: [alice@test]
"""
END = """\
- name: End
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say what comes next
      ansible.builtin.import_role: {name: factory, tasks_from: next, rolespec_validate: false}
    - name: Say how people come to it
      ansible.builtin.import_role: {name: operators, tasks_from: next, rolespec_validate: false}
"""


@pytest.fixture
def end(tmp_path):
    """Let a site with one board of two burned say what comes next; return the lines."""
    batch = tmp_path / "site/state/batches/first"
    batch.mkdir(parents=True)
    (batch / "batch.json").write_text(json.dumps({"gateway": "gateway"}))
    (batch / "registration.json").write_text(json.dumps({"devices": [{}, {}]}))
    (tmp_path / "site/batch.yml").write_text("batch: first\nprefix: lamp\ndevices:\n  - count: 2\n")
    (tmp_path / "site/group_vars").mkdir()
    (tmp_path / "site/group_vars/all.yml").write_text(SITE)
    (tmp_path / "site/hosts.yml").write_text(HOSTS)
    (tmp_path / "end.yml").write_text(END)

    def run(*arguments: str) -> tuple[str, list[str]]:
        program = Path(sys.executable).with_name("ansible-playbook")
        environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        command = [program, "-i", tmp_path / "site", tmp_path / "end.yml", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, printed.lines(done.stdout)

    return run


def test_the_end_of_a_site_says_how_boards_and_people_come_to_it(end, tmp_path):
    text, lines = end("--extra-vars=factory_firmware='/srv/my firmware.bin'")

    assert "Devices in it without a board: 1." in text
    assert "https://gateway.local:8443/" in text
    site = tmp_path / "site"
    assert lines == [
        f"fleetmint burn first --port auto --firmware '/srv/my firmware.bin' --site {site}",
        f"fleetmint devices --site {site}",
        f"fleetmint listen --site {site}",
        f"fleetmint operator add alice@test --p12 --site {site}",
    ]
    (site / "state/site.json").write_text(json.dumps({"inventory": str(site)}))
    for line in lines:
        printed.parse(line)


def test_when_all_boards_are_burned_nothing_is_left_to_burn(end, tmp_path):
    (tmp_path / "site/state/batches/first/registration.json").write_text(json.dumps({"devices": [{}]}))
    text, lines = end()

    assert "Devices in it without a board: 0." in text
    assert not [line for line in lines if "fleetmint burn" in line]


@pytest.mark.parametrize("purpose", ["demo", "other"])
def test_the_demo_ends_with_lines_for_the_shell_that_make_came_from(purpose, tmp_path, monkeypatch):
    ours = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{ours}:/usr/bin:/bin")  # as the Makefile sets it
    monkeypatch.setenv("MAKELEVEL", "1")
    state = INVENTORY / "state" / purpose
    text = demo.next_steps(Purpose(purpose, state))

    program = ours.relative_to(ROOT)
    before = "" if purpose == "demo" else f"FLEETMINT_PURPOSE={purpose} "
    revoke = f"{program}/ansible-playbook -i inventory/virtual playbooks/revoke.yml -e device=lamp-000002"
    assert f"\n  {before}{revoke}\n" in text
    assert f"\n  {program}/fleetmint listen --state inventory/virtual/state/{purpose}\n" in text
    done = printed.play(f"{before}{revoke}", ROOT, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "gateway" in done.stdout.split()
