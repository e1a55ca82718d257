#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answer the requests of a controller with the root of a ceremony."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_answer
short_description: Sign issuing CAs with the root on a machine without a network
description:
  - Answers every request in a directory with a certificate, and adds the root's certificate, its CRL and a transcript.
  - What was answered before gets the same answer again.
options:
  requests:
    description: Directory with the requests of the controller.
    type: path
    required: true
  answers:
    description: Directory for the answers.
    type: path
    required: true
  people:
    description: Who is present.
    type: list
    elements: str
    required: true
  revoke:
    description: Serial numbers of issuing CAs to revoke, hexadecimal.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says what it would sign and signs nothing.
  diff_mode:
    support: full
    description: Lists the CAs that have an answer.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Answer the controller
  fleetmint.core.ca_answer:
    directory: /media/root/ca
    site: workshop
    passphrases: shares:/dev/shm/fleetmint/1f2e3d4c5b6a7988
    requests: /media/stick/requests
    answers: /media/stick/answers
    people: [Alice Example, Bob Example, Carol Example]
"""

RETURN = r"""
reasons:
  description: What was signed, one sentence each.
  type: list
  elements: str
  returned: success
root_fingerprint:
  description: SHA-256 of the root.
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
        "requests": {"type": "path", "required": True},
        "answers": {"type": "path", "required": True},
        "people": {"type": "list", "elements": "str", "required": True},
        "revoke": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from pathlib import Path

        from fleetmint.ca.ceremony.root import plan_answers
        from fleetmint.x509.revocation import serial_number

        params = module.params
        serials = [serial_number(text) for text in params["revoke"]]
        requests, answers = Path(params["requests"]), Path(params["answers"])
        return plan_answers(hierarchy(module), requests, answers, params["people"], utc_now(), revoke=serials)

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
