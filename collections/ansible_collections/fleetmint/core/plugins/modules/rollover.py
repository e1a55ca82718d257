#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make one move of a rollover."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollover
short_description: Bring a new CA into service in the place of another
description:
  - Makes one move of a rollover on the controller. What the gateways get follows from it, so they are brought up to
    date between two moves, which playbooks/ca_rollover.yml does.
  - A move that was made before is not made again, one that was interrupted is finished.
options:
  kind:
    description: What is replaced.
    type: str
    choices: [device, operator, factory, server, root]
    required: true
  move:
    description: Which move, if this kind has it.
    type: str
    choices: [introduce, switch, leave, retire]
    required: true
  gateways:
    description: Names of the gateways whose CAs or certificates are concerned.
    type: list
    elements: str
    required: true
  issued:
    description: Directory with the certificates of the gateways, to see under which CA they stand.
    type: path
    required: true
  force:
    description:
      - Do not wait until devices could have heard of the server CA that comes into service, or until the certificates
        of an old operator CA or factory CA have ended.
    type: bool
    default: false
  number:
    description: Which move of the run this is, the first or the second.
    type: int
    choices: [1, 2]
    default: 1
  ceremony:
    description:
      - Whether the root was made in a ceremony, so that its key never comes here and is asked with files. Needs
        O(requests) and O(answers).
    type: bool
    default: false
  requests:
    description: Directory for what is asked of the root of the ceremony.
    type: path
  answers:
    description: Directory with what the root of the ceremony answered.
    type: path
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: full
    description: Lists what is done.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make new device CAs, which the gateways come to trust
  fleetmint.core.rollover:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    kind: device
    move: introduce
    gateways: "{{ groups['gateways'] }}"
    issued: "{{ fleet_state_dir }}/issued"
"""

RETURN = r"""
reasons:
  description: What was done, one sentence each.
  type: list
  elements: str
  returned: success
left:
  description: What is left to do after this move, in words.
  type: str
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

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    options = {
        **CA_OPTIONS,
        "kind": {"type": "str", "choices": ["device", "operator", "factory", "server", "root"], "required": True},
        "move": {"type": "str", "choices": ["introduce", "switch", "leave", "retire"], "required": True},
        "gateways": {"type": "list", "elements": "str", "required": True},
        "issued": {"type": "path", "required": True},
        "force": {"type": "bool", "default": False},
        "number": {"type": "int", "choices": [1, 2], "default": 1},
        "ceremony": {"type": "bool", "default": False},
        "requests": {"type": "path"},
        "answers": {"type": "path"},
    }
    module = AnsibleModule(
        argument_spec=options,
        required_if=[("ceremony", True, ("requests", "answers"))],
        supports_check_mode=True,
    )

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.ca.external_root import known_root
        from fleetmint.ca.identifier import Kind
        from fleetmint.ca.local_root import LocalRoot
        from fleetmint.ca.rollover import plan_move
        from fleetmint.ca.rollover.steps import Leaf, Rollover
        from fleetmint.site.certificates import certificates
        from fleetmint.site.state import Site

        params = module.params
        cas, signer = hierarchy(module), None
        if params["ceremony"]:
            signer = known_root(cas, Path(params["requests"]), Path(params["answers"]))
        retiring = params["move"] == "retire" and params["kind"] in ("operator", "factory")
        known = certificates(Site(Path(params["issued"]).parent)) if retiring else []
        rollover = Rollover(
            cas,
            Kind(params["kind"]),
            params["gateways"],
            Path(params["issued"]),
            params["force"],
            signer or LocalRoot(),
            [Leaf(row.name, row.certificate) for row in known if row.in_use],
        )
        return plan_move(rollover, params["move"], utc_now())

    def told(plan: Plan[object]) -> dict[str, object]:
        # the plays that bring it to the gateways have to know
        moved = {"fleetmint_rollover_moved": module.params["number"]} if plan.changed else {}
        return {"ansible_facts": {"fleetmint_rollover_force": module.params["force"], **moved}}

    carry_out(module, make_plan, told)


if __name__ == "__main__":
    main()
