#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make key and certificate of an operator or a station."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client
short_description: Make key and certificate of an operator or a station
description:
  - Makes C(NAME.key) and C(NAME.crt) where they are missing, and issues the certificate again when it nears its end.
  - Leaves a client that was revoked as it is, with a warning.
options:
  name:
    description: Name of the client, such as C(alice@workshop).
    type: str
    required: true
  profile:
    description: What the client is; C(operator-rsa) is an operator whose programs cannot use EC keys.
    type: str
    choices: [operator, operator-rsa, station, dashboard]
    required: true
  into:
    description: Directory of the two files.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Says what is missing and makes nothing.
  diff_mode:
    support: full
    description: Shows name and end.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Give Alice a certificate
  fleetmint.core.client:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    name: alice@workshop
    profile: operator
    into: "{{ fleet_state_dir }}/issued/operators"
"""

RETURN = r"""
reasons:
  description: What was made, one sentence each.
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
        "name": {"type": "str", "required": True},
        "profile": {"type": "str", "choices": ["operator", "operator-rsa", "station", "dashboard"], "required": True},
        "into": {"type": "path", "required": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.ca.leaves import plan_client

        params = module.params
        return plan_client(hierarchy(module), params["profile"], params["name"], Path(params["into"]), utc_now())

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
