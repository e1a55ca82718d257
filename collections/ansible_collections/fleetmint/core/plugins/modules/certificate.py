#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sign the certificate of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Sign a host's certificate request with the server CA
description:
  - Issues the certificate when it is missing, no longer young, for another key or for other names.
  - Only the public key is taken from the request; the names come from the options.
options:
  request:
    description: PKCS 10 file with the host's public key.
    type: path
    required: true
  certificate:
    description: File to write, the leaf and then the server CA, PEM.
    type: path
    required: true
  common_name:
    description: CN of the certificate.
    type: str
    required: true
  names:
    description: DNS names and IP addresses that the host answers to.
    type: list
    elements: str
    required: true
  profile:
    description: What the host is; C(server-rsa) is for clients that cannot use EC, and wants the request of an RSA key.
    type: str
    choices: [server, server-rsa]
    default: server
  days:
    description: How long the certificate lasts, 1 to 800; it is renewed when a third of that has passed, or 30 days.
    type: int
attributes:
  check_mode:
    support: full
    description: Says why it would issue and writes nothing.
  diff_mode:
    support: full
    description: Shows names and end.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Sign the certificate of nginx
  fleetmint.core.certificate:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    request: "{{ fleet_state_dir }}/issued/gateway/nginx.csr"
    certificate: "{{ fleet_state_dir }}/issued/gateway/nginx.crt"
    common_name: gateway
    names: [gateway.example.net, 192.0.2.7]
"""

RETURN = r"""
reasons:
  description: Why it was issued, one sentence each.
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
        "request": {"type": "path", "required": True},
        "certificate": {"type": "path", "required": True},
        "common_name": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "profile": {"type": "str", "choices": ["server", "server-rsa"], "default": "server"},
        "days": {"type": "int"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def make_plan() -> Plan[object]:
        from datetime import timedelta
        from pathlib import Path

        from fleetmint.ca.leaves import plan_host_certificate
        from fleetmint.ca.services import refuse_names_of_services

        params = module.params
        request, certificate = Path(params["request"]), Path(params["certificate"])
        refuse_names_of_services(certificate.parent.parent, params["names"])
        return plan_host_certificate(
            hierarchy(module),
            request,
            certificate,
            params["common_name"],
            params["names"],
            utc_now(),
            params["profile"],
            None if params["days"] is None else timedelta(days=params["days"]),
        )

    carry_out(module, make_plan)


if __name__ == "__main__":
    main()
