#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Burn the devices of a batch into boards."""

from __future__ import annotations

DOCUMENTATION = r"""
module: burn
short_description: Burn devices of a batch into the boards on serial ports
description:
  - Gives the board on each port an identity of the batch and burns it, all ports at the same time, in one call.
  - A board that is done stays as it is. When the whole batch is burnt, no board is touched.
options:
  ports:
    description: Serial ports with a board on each.
    type: list
    elements: str
    required: true
  app:
    description: Directory of the device's program.
    type: path
    required: true
  passphrases:
    description: Source of the passphrase C(bench), which opens the batch, V(file:DIRECTORY) or V(vault:DIRECTORY).
    type: str
    required: true
  firmware:
    description: MicroPython file to flash first; without one the boards have it already.
    type: path
  firmware_sha256:
    description: SHA-256 that the firmware has to have, hexadecimal.
    type: str
extends_documentation_fragment: fleetmint.core.made_batch
attributes:
  check_mode:
    support: full
    description: Says how many devices are left and touches no board.
  diff_mode:
    support: full
    description: Shows how many devices are left.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Burn the boards
  fleetmint.core.burn:
    batch: "{{ fleet_state_dir }}/batches/first"
    ledger: "sqlite:///{{ fleet_state_dir }}/ledger.sqlite"
    ports: [/dev/ttyUSB0, /dev/ttyUSB1]
    app: "{{ playbook_dir }}/../firmware"
    passphrases: "{{ fleet_ca_passphrases }}"
"""

RETURN = r"""
reasons:
  description: What there was to burn.
  type: list
  elements: str
  returned: success
boards:
  description: What came of each port.
  type: list
  elements: dict
  returned: success
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import BATCH_OPTIONS, carry_out

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    options = {
        **BATCH_OPTIONS,
        "ports": {"type": "list", "elements": "str", "required": True},
        "app": {"type": "path", "required": True},
        # The name of a place, not what lies there.
        "passphrases": {"type": "str", "required": True, "no_log": False},
        "firmware": {"type": "path"},
        "firmware_sha256": {"type": "str"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.bench.bench import Bench, plan_burn
        from fleetmint.passphrases import open_source

        params = module.params
        firmware = Path(params["firmware"]) if params["firmware"] else None
        bench = Bench(
            Path(params["batch"]),
            params["ledger"],
            Path(params["app"]),
            open_source(params["passphrases"]),
            firmware,
            params["firmware_sha256"] or None,
        )
        return plan_burn(bench, params["ports"])

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
