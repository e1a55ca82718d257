"""What plays, modules and lookups print to be typed next can be pasted where the play was started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import printed

ROOT = Path(__file__).parents[2]
HOSTS = """\
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
# A role's message, a module that refuses, and an action that refuses; each message is longer than Ansible's lines.
PLAY = """\
- name: Say what comes next
  hosts: localhost
  gather_facts: false
  tasks:
    - name: By a lookup
      ansible.builtin.debug:
        msg: >
          Now that this is done, which was to be expected, type this:
          {{ lookup('fleetmint.core.command', 'playbook', 'revoke.yml', extra_vars={'device': 'lamp-000001'}) }}
    - name: On lines of their own
      ansible.builtin.debug:
        msg: |
          Next:
            {{ lookup('fleetmint.core.command', 'fleetmint', 'batch', 'show', line=true) }}
    - name: By a module
      fleetmint.core.rollover:
        directory: "{{ fleet_state_dir }}/ca"
        site: test
        passphrases: "file:{{ fleet_state_dir }}/passphrases"
        kind: device
        move: introduce
        gateways: [gateway]
        issued: "{{ fleet_state_dir }}/issued"
      ignore_errors: true
    - name: By an action
      fleetmint.core.device_ca:
        directory: "{{ fleet_state_dir }}/ca"
        site: test
        passphrases: "file:{{ fleet_state_dir }}/passphrases"
        gateway: gateway
        status: [echo, "{}"]
        install: ["true"]
        retire: ["true"]
"""


@pytest.fixture
def start(tmp_path):
    """Start the play in a directory; return what it printed, and a function that pastes a line there."""
    site = tmp_path / "my site"
    (site / "group_vars").mkdir(parents=True)
    (site / "hosts.yml").write_text(HOSTS)
    (site / "group_vars/all.yml").write_text("fleet_site: test\nfleet_state_dir: state\n")
    (tmp_path / "play.yml").write_text(PLAY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"}

    def run(cwd: Path) -> list[str]:
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [program, "-i", site, tmp_path / "play.yml"]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        for line in (lines := printed.lines(done.stdout)):
            if printed.program(line) == "ansible-playbook":
                pasted = printed.play(line, cwd, environment)
                assert pasted.returncode == 0, f"{line}: {pasted.stderr}"
        return lines

    return run


def test_elsewhere_they_have_absolute_paths(start, tmp_path):
    site = f"'{tmp_path}/my site'"
    lines = start(tmp_path)
    assert f"ansible-playbook -i {site} {ROOT}/playbooks/ca.yml" in lines
    assert f"ansible-playbook -i {site} {ROOT}/playbooks/revoke.yml -e device=lamp-000001" in lines
    assert f"fleetmint batch show --site {site}" in lines


def test_in_the_checkout_they_are_short(start, tmp_path):
    lines = start(ROOT)
    assert f"ansible-playbook -i '{tmp_path}/my site' playbooks/ca.yml" in lines
