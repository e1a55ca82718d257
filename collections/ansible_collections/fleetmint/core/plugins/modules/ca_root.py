#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a root in a ceremony."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_root
short_description: Make the root of a site on a machine without a network
description:
  - Makes the root, encrypted with a random passphrase, and splits the passphrase into shares that are written to files.
  - Writes a transcript for people to sign. Never makes a root again that exists.
options:
  directory:
    description: Directory of the root's machine; the root is in C(root/) under it.
    type: path
    required: true
  site:
    description: Name of the site, the O of every subject.
    type: raw
    required: true
  shares_into:
    description: Directory for the shares; one in memory, such as C(/dev/shm/fleetmint), is gone after a power cut.
    type: path
    required: true
  shares:
    description: How many shares there are.
    type: int
    default: 5
  needed:
    description: How many of them open the root.
    type: int
    default: 3
  people:
    description: Who is present.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    support: full
    description: Says what it would make and makes nothing.
  diff_mode:
    support: full
    description: Says which root there is.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the root
  fleetmint.core.ca_root:
    directory: /media/root/ca
    site: workshop
    shares_into: /dev/shm/fleetmint
    people: [Alice Example, Bob Example, Carol Example]
"""

RETURN = r"""
reasons:
  description: What was made, one sentence each.
  type: list
  elements: str
  returned: success
root_fingerprint:
  description: SHA-256 of the root. Before the root is made, in check mode, it says nothing.
  type: str
  returned: success
shares:
  description: Directory of the shares.
  type: str
  returned: when the root is made
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.library import carry_out, utc_now

if TYPE_CHECKING:
    from fleetmint.plan import Plan


def main() -> None:
    """Run the module."""
    options = {
        "directory": {"type": "path", "required": True},
        "site": {"type": "raw", "required": True},
        "shares_into": {"type": "path", "required": True},
        "shares": {"type": "int", "default": 5},
        "needed": {"type": "int", "default": 3},
        "people": {"type": "list", "elements": "str", "required": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.ca.ceremony.root import Custody, plan_root
        from fleetmint.text import is_text

        params = module.params
        custody = Custody(Path(params["shares_into"]), params["shares"], params["needed"])
        site = is_text(params["site"], "the name of the site")
        return plan_root(Path(params["directory"]), site, custody, params["people"], utc_now())

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
