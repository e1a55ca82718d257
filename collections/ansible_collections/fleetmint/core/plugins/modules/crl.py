#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sign the CRL of a CA of the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: crl
short_description: Revoke certificates of a CA whose key the controller keeps
description:
  - Adds serial numbers to the CRL of the root, the operator CA or the factory CA and signs it again. While one CA takes
    the place of another they go on the lists of both.
  - Also signs it again when a quarter of its life has passed. Nothing is ever removed from it.
options:
  authority:
    description: The CA.
    type: str
    choices: [root, operator, factory]
    required: true
  revoke:
    description: Serial numbers to revoke, hexadecimal.
    type: list
    elements: str
    default: []
  reason:
    description: Why they are revoked.
    type: str
    choices: [unspecified, key_compromise, affiliation_changed, superseded, cessation_of_operation]
    default: unspecified
attributes:
  check_mode:
    support: full
    description: Says what would be revoked and signs nothing.
  diff_mode:
    support: full
    description: Shows the CRL's number, end and serials.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Revoke a device whose certificate the factory made
  fleetmint.core.crl:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    authority: factory
    revoke: [5c517c308e2e59beb76579424526]
"""

RETURN = r"""
reasons:
  description: Why it was signed, one sentence each.
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

REASONS = ["unspecified", "key_compromise", "affiliation_changed", "superseded", "cessation_of_operation"]


def main() -> None:
    """Run the module."""
    options = {
        **CA_OPTIONS,
        "authority": {"type": "str", "choices": ["root", "operator", "factory"], "required": True},
        "revoke": {"type": "list", "elements": "str", "default": []},
        "reason": {"type": "str", "choices": REASONS, "default": "unspecified"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from fleetmint.ca.crls import plan_crls
        from fleetmint.x509.revocation import serial_number

        serials = [serial_number(text) for text in module.params["revoke"]]
        params = module.params
        return plan_crls(hierarchy(module), params["authority"], serials, utc_now(), params["reason"])

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
