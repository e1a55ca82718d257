#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renew the certificates of the maker's own servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_certificates
short_description: Renew the certificates of the maker's own servers
description:
  - Issues the certificate of each service that C(fleetmint service-cert) was asked for anew when it is no longer young.
  - Fails for a service that has a name which a gateway shows by now.
options:
  issued:
    description: Directory of the certificates; those of services are in its directory C(services).
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Says what would be issued and writes nothing.
  diff_mode:
    support: full
    description: Shows names and end.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Renew the certificates of services
  fleetmint.core.service_certificates:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    issued: "{{ fleet_state_dir }}/issued"
"""

RETURN = r"""
reasons:
  description: Why certificates were issued, one sentence each.
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
    options = {**CA_OPTIONS, "issued": {"type": "path", "required": True}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[None]:
        from pathlib import Path

        from fleetmint.ca.services import plan_renewals

        return plan_renewals(hierarchy(module), Path(module.params["issued"]), utc_now())

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
