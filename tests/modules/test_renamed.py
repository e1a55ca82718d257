"""Variables that are called otherwise since this version: the old names work, and a line says the new ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fleetmint.preflight.renamed import RENAMED

ROOT = Path(__file__).parents[2]
HOSTS = """\
controller: {hosts: {localhost: {ansible_connection: local}}}
gateways:
  hosts:
    here: {ansible_connection: local, nginx_devices_port: 10443}
    there: {ansible_connection: local, nginx_devices_port: 1, fleet_listen_https_port: 20443}
"""
SITE = 'fleet_site: test\noperators_station: "bench@{{ fleet_site }}"\n'
PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ fleet_station }} {{ fleet_ca_root }}"}
- hosts: gateways
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ inventory_hostname }} {{ fleet_listen_https_port }}"}
    - ansible.builtin.debug: {msg: "{{ hostvars['here'].fleet_listen_https_port }} of here, {{ fleet_station }}"}
"""


def test_old_names_work_for_each_host_and_on_the_command_line_and_are_named_once(tmp_path: Path) -> None:
    (tmp_path / "site/group_vars").mkdir(parents=True)
    (tmp_path / "site/group_vars/all.yml").write_text(SITE)
    (tmp_path / "site/hosts.yml").write_text(HOSTS)
    (tmp_path / "play.yml").write_text(PLAY)
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
        "COLUMNS": "500",
    }
    command = [program, "-i", str(tmp_path / "site"), str(tmp_path / "play.yml"), "-e", "ca_root=ceremony"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    for text in ("bench@test ceremony", "here 10443", "there 20443", "10443 of here, bench@test"):
        assert json.dumps(text) in printed
    for old in ("operators_station", "ca_root", "nginx_devices_port"):
        assert printed.count(f"{old} is called {RENAMED[old]} now") == 1
    assert "mosquitto_devices_port" not in printed
