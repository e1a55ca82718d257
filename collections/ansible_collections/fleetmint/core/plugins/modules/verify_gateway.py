#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""See from outside whom a gateway lets in."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_gateway
short_description: See from outside whom a gateway lets in
description:
  - Asks each listener of a gateway, from the controller, as a device, as the station, and without a certificate.
  - What is not as it has to be is in the lines that it returns; the module itself fails only when it cannot begin.
options:
  state:
    description: Directory of the site's state.
    type: path
    required: true
  gateway:
    description: Name of the gateway in the inventory.
    type: str
    required: true
  device:
    description: Directory with C(device.key) and C(device.crt) of a device of the gateway, instead of one of a moment.
    type: path
  plain_port:
    description: Port without TLS.
    type: int
    default: 80
  ntp_port:
    description: Port of the time server, 0 not to ask.
    type: int
    default: 123
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Look at the gateway from outside
  fleetmint.core.verify_gateway:
    state: "{{ fleet_state_dir }}"
    gateway: "{{ inventory_hostname }}"
  delegate_to: localhost
"""

RETURN = r"""
lines:
  description: What was looked at, a sentence each, beginning with C(ok) or C(wrong).
  type: list
  elements: str
  returned: success
wrong:
  description: How many are wrong.
  type: int
  returned: success
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import carry_out, utc_now

if TYPE_CHECKING:
    from fleetmint.plan import Plan

OPTIONS = {
    "state": {"type": "path", "required": True},
    "gateway": {"type": "str", "required": True},
    "device": {"type": "path"},
    "plain_port": {"type": "int", "default": 80},
    "ntp_port": {"type": "int", "default": 123},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params

    def make_plan() -> Plan[object]:
        from fleetmint.plan import Plan
        from fleetmint.site.outside import look
        from fleetmint.site.state import Site

        device = Path(params["device"]) if params["device"] else None
        ports = {"plain_port": params["plain_port"], "ntp_port": params["ntp_port"]}
        return Plan(expected=look(Site(Path(params["state"])), params["gateway"], utc_now(), device=device, **ports))

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
