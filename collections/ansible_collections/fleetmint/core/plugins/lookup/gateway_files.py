# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a gateway is given of the site's CAs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_files
short_description: Certificates and CRLs that a gateway is given of the site's CAs
description:
  - Returns text that follows from the directory of the CAs, PEM with one exception. While one CA takes the place of
    another, it holds both.
options:
  _terms:
    description:
      - C(devices.ca) or C(operators.ca) for what a listener trusts; C(root), C(server), C(operator), C(factory) or
        C(device) for the certificates of one kind of CA; with C(.crl) behind it, for root, operator and factory, for
        their CRLs; C(root.sha256) for the fingerprints of the roots, one to a line.
    required: true
  directory:
    description: Directory of the CAs on the controller.
    type: path
    required: true
  gateway:
    description: Name of the gateway.
    type: str
    required: true
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show whom the devices' listener trusts
  ansible.builtin.debug:
    msg: "{{ lookup('fleetmint.core.gateway_files', 'devices.ca', directory=fleet_ca_dir, gateway='gateway') }}"
"""

RETURN = r"""
_raw:
  description: One text for each term.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fleetmint.core.plugins.plugin_utils import foreseen


class LookupModule(LookupBase):
    """The lookup fleetmint.core.gateway_files."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the content of each file that is asked for."""
        self.set_options(var_options=variables, direct=kwargs)

        from fleetmint.ca.gateway_files import NotMadeError, gateway_file
        from fleetmint.errors import FleetmintError

        directory = Path(self.get_option("directory"))
        try:
            return [gateway_file(directory, self.get_option("gateway"), term).decode() for term in terms]
        except NotMadeError as error:
            if foreseen.cas(variables or {}):
                return ["what this run would make\n"] * len(terms)
            raise AnsibleError(str(error)) from error
        except FleetmintError as error:
            raise AnsibleError(str(error)) from error
