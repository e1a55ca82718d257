#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record in the factory's ledger that a gateway knows a batch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registered
short_description: Record that a gateway knows the devices of a batch
description:
  - Run it after the gateway has taken the registration. Boards are burnt with registered devices only.
options:
  skipped:
    description: Devices that the gateway left as they were, such as revoked ones; they do not count as registered.
    aliases: [kept]
    type: list
    elements: str
    default: []
  actor:
    description: Who told the gateway, for the ledger's record of events.
    type: str
    default: playbook
extends_documentation_fragment: fleetmint.core.made_batch
attributes:
  check_mode:
    support: full
    description: Says how many devices are news and records nothing.
  diff_mode:
    support: full
    description: Shows how many devices are news.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Record that the gateway knows the batch
  fleetmint.core.registered:
    batch: "{{ fleet_state_dir }}/batches/first"
    ledger: "sqlite:///{{ fleet_state_dir }}/ledger.sqlite"
"""

RETURN = r"""
reasons:
  description: For how many devices that is news.
  type: list
  elements: str
  returned: success
batch:
  description: Name of the batch.
  type: str
  returned: success
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import BATCH_OPTIONS, carry_out, utc_now

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    options = {
        **BATCH_OPTIONS,
        "skipped": {"type": "list", "elements": "str", "default": [], "aliases": ["kept"]},
        "actor": {"type": "str", "default": "playbook"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.batch.handover import plan_registered

        params = module.params
        return plan_registered(
            Path(params["batch"]), params["ledger"], skipped=params["skipped"], actor=params["actor"], now=utc_now()
        )

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
