#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what became of the boards of a batch, as the gateway takes it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: handover
short_description: Say what became of the boards of a batch
description:
  - Returns the document that C(fleetmint gateway import) takes on its standard input. It holds no secret.
  - Changes nothing.
extends_documentation_fragment: fleetmint.core.made_batch
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Gather what became of the boards
  fleetmint.core.handover:
    batch: "{{ fleet_state_dir }}/batches/first"
    ledger: "sqlite:///{{ fleet_state_dir }}/ledger.sqlite"
  register: boards
"""

RETURN = r"""
document:
  description: The document, JSON.
  type: str
  returned: success
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import BATCH_OPTIONS, carry_out

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=BATCH_OPTIONS, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.batch.handover import handover_document
        from fleetmint.documents.document import encode
        from fleetmint.plan import Plan

        document = handover_document(Path(module.params["batch"]), module.params["ledger"])
        return Plan(expected={"document": encode(document).decode()})

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
