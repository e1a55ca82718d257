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
options:
  gateways:
    description: Names of the gateways; each gets a device CA of its own.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says what is missing and makes nothing.
  diff_mode:
    support: full
    description: Lists the CAs before and after.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import (
    CA_OPTIONS,
    carry_out,
    hierarchy,
    utc_now,
)


def main() -> None:
    """Run the module."""
    options = {**CA_OPTIONS, "gateways": {"type": "list", "elements": "str", "default": []}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan():
        from fleetmint.pki.hierarchy import plan_hierarchy

        return plan_hierarchy(hierarchy(module), module.params["gateways"], utc_now())

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
