#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the CAs of a site."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca
short_description: Make the certificate authorities of a site
description:
  - Makes the root, the issuing CAs, their passphrases and their CRLs where they are missing.
  - Never makes a key again that exists.
  - Beside a root that was made in a ceremony, makes the keys of the issuing CAs, asks for their certificates with
    files, and takes over the answers that are exactly what was asked for.
options:
  gateways:
    description: Names of the gateways; each gets a device CA of its own.
    type: list
    elements: str
    default: []
  root:
    description:
      - Where the root is, C(controller) for one that this module makes, or C(ceremony) for one on a machine of its own.
    type: str
    choices: [controller, ceremony]
    default: controller
  root_fingerprint:
    description: SHA-256 of the root of the ceremony, as its transcript has it.
    type: str
    default: ""
  requests:
    description: Directory for what is asked of the root of the ceremony.
    type: path
  answers:
    description: Directory with what the root of the ceremony answered.
    type: path
attributes:
  check_mode:
    support: full
    description: Says what is missing and makes nothing.
  diff_mode:
    support: full
    description: Lists the CAs before and after.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the CAs
  fleetmint.core.ca:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    gateways: "{{ groups['gateways'] }}"
"""

RETURN = r"""
reasons:
  description: What was made, one sentence each.
  type: list
  elements: str
  returned: success
waiting:
  description: Issuing CAs whose request the root of the ceremony has not answered.
  type: list
  elements: str
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
        "gateways": {"type": "list", "elements": "str", "default": []},
        "root": {"type": "str", "choices": ["controller", "ceremony"], "default": "controller"},
        "root_fingerprint": {"type": "str", "default": ""},
        "requests": {"type": "path"},
        "answers": {"type": "path"},
    }
    module = AnsibleModule(
        argument_spec=options,
        required_if=[("root", "ceremony", ("requests", "answers"))],
        supports_check_mode=True,
    )

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.ca.create import plan_hierarchy
        from fleetmint.ca.external_root import Exchange, ExternalRoot

        params = module.params
        if params["root"] == "controller":
            return plan_hierarchy(hierarchy(module), params["gateways"], utc_now())
        post = Exchange(Path(params["requests"]), Path(params["answers"]), params["root_fingerprint"])
        return plan_hierarchy(hierarchy(module), params["gateways"], utc_now(), ExternalRoot(post))

    def foreseen(plan: Plan[object]) -> dict[str, object]:
        # in check mode the plays that follow find no CAs, and have to know that they would
        look_ahead = module.check_mode and module.params["root"] == "controller"
        return {"ansible_facts": {"fleetmint_foreseen_cas": plan.changed}} if look_ahead else {}

    carry_out(module, make_plan, foreseen)


if __name__ == "__main__":
    main()
