#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the identities of a batch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: batch
short_description: Make the identities of a batch of devices
description:
  - Makes a token, or a key and a certificate of the factory CA, for every device of a batch file, in one call.
  - Keeps them for the bench, enters the batch into the factory's ledger, and writes the registration for the gateway.
options:
  file:
    description: Batch file, YAML or CSV; C(docs/factory.md) says what is in it.
    type: path
    required: true
  into:
    description: Directory of the batches; each gets one of its own.
    type: path
    required: true
  ledger:
    description: SQLAlchemy URL of the factory's ledger.
    type: str
    required: true
  gateways:
    description: The site's gateways as devices reach them; a batch that names none belongs to the first.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the gateway in the inventory.
        type: str
        required: true
      host:
        description: Host name or address, as its certificate has it.
        type: raw
        required: true
      https_port:
        description: Port of its HTTPS listener for devices.
        type: int
        required: true
      mqtt_port:
        description: Port of its MQTT listener for devices.
        type: int
        required: true
      tls_profile:
        description: What devices may speak at these ports, as in C(fleet_tls_profile).
        type: str
        choices: [compatible, modern]
        default: compatible
      tls_classes:
        description: Ports of classes of devices, as in C(fleet_tls_classes).
        type: dict
        default: {}
  wifi:
    description: The site's Wi-Fi profiles, of which the batch names one or several.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the profile; a batch that names none gets V(default).
        type: raw
        required: true
      ssid:
        description: Name of the network.
        type: raw
        required: true
      psk:
        description: Its passphrase; empty for an open network.
        type: raw
        required: true
  foreseen:
    description: Whether the CAs would only be made earlier in the same run, in check mode.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what is missing and makes nothing.
  diff_mode:
    support: full
    description: Lists ids and who makes their keys.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make a batch
  fleetmint.core.batch:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    file: "{{ inventory_dir }}/batch.yml"
    into: "{{ fleet_state_dir }}/batches"
    ledger: "sqlite:///{{ fleet_state_dir }}/ledger.sqlite"
    gateways:
      - name: gateway
        host: gateway.example.net
        https_port: 443
        mqtt_port: 8883
    wifi:
      - name: default
        ssid: workshop
        psk: "{{ vault_wifi_psk }}"
"""

RETURN = r"""
reasons:
  description: What was made, one sentence each.
  type: list
  elements: str
  returned: success
batch:
  description: Name of the batch.
  type: str
  returned: success
registration:
  description: File that tells the gateway about the batch; it holds no secret.
  type: str
  returned: success
gateway:
  description: Name of the gateway that will know its devices.
  type: str
  returned: success
devices:
  description: How many devices the batch has.
  type: int
  returned: success
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import (
    CA_OPTIONS,
    carry_out,
    hierarchy,
    utc_now,
)

GATEWAY = {
    "name": {"type": "str", "required": True},
    "host": {"type": "raw", "required": True},
    "https_port": {"type": "int", "required": True},
    "mqtt_port": {"type": "int", "required": True},
    "tls_profile": {"type": "str", "choices": ["compatible", "modern"], "default": "compatible"},
    "tls_classes": {"type": "dict", "default": {}},
}
# Text, which the option type would make of a number too.
WIFI = {
    "name": {"type": "raw", "required": True},
    "ssid": {"type": "raw", "required": True},
    "psk": {"type": "raw", "required": True, "no_log": True},
}

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    options = {
        **CA_OPTIONS,
        "file": {"type": "path", "required": True},
        "into": {"type": "path", "required": True},
        "ledger": {"type": "str", "required": True},
        "gateways": {"type": "list", "elements": "dict", "options": GATEWAY, "required": True},
        "wifi": {"type": "list", "elements": "dict", "options": WIFI, "required": True},
        "foreseen": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.batch.common import SiteValues, gateway
        from fleetmint.batch.create import foresee_batch_file, plan_batch_file
        from fleetmint.batch.networks import read_networks
        from fleetmint.text import is_text

        params = module.params
        values = SiteValues(
            {
                row["name"]: gateway(
                    is_text(row["host"], f"the name of {row['name']}"),
                    row["https_port"],
                    row["mqtt_port"],
                    row["tls_profile"],
                    row["tls_classes"],
                )
                for row in params["gateways"]
            },
            read_networks(params["wifi"]),
        )
        if module.check_mode and params["foreseen"]:
            return foresee_batch_file(Path(params["file"]), values)
        return plan_batch_file(
            Path(params["file"]), values, Path(params["into"]), params["ledger"], hierarchy(module), utc_now()
        )

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
