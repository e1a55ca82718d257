"""A site's inventory for plays that run on this machine, without a gateway that answers."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOSTS = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
  children:
    gateways:
      hosts:
        gateway:
      vars: # nobody answers there
        ansible_host: 127.0.0.1
        ansible_port: 1
"""
VARIABLES = """\
fleet_site: test
fleet_gateway_names:
  - pi.example
  - 192.0.2.7
fleet_https_port: 443
fleet_operators_https_port: 8443
fleet_mqtt_port: 8883
fleet_operators_mqtt_port: 8884
fleet_state_dir: "{{ inventory_dir }}/state"
fleet_ca_dir: "{{ fleet_state_dir }}/ca"
fleet_ca_passphrases: "file:{{ fleet_state_dir }}/passphrases"
fleet_station: bench@test
"""
NETWORK = """\
fleet_wifi:
  - {name: default, ssid: test, psk: canary-long-enough}
"""


def write_site(directory: Path, variables: str = VARIABLES + NETWORK, *, name: str = "all.yml") -> Path:
    """Write an inventory with these variables of all hosts; return its directory."""
    path = directory / "group_vars" / name
    path.parent.mkdir(parents=True)
    (directory / "hosts.yml").write_text(HOSTS)
    path.write_text(variables)
    return directory


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a play: the project's settings, its files below `home`, and no colours."""
    own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(home), "ANSIBLE_NOCOLOR": "1"}
    return {**os.environ, **own, **more}
