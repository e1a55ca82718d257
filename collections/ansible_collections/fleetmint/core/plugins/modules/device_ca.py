#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action device_ca; the work is done in plugins/action."""

from __future__ import annotations

DOCUMENTATION = r"""
module: device_ca
short_description: Install a gateway's device CA on it
description:
  - Opens the encrypted key of the gateway's device CA on the controller and hands it to a command on the gateway, over
    the standard input of the SSH connection. It is in no file, no argument and no variable on the way.
  - While another device CA takes its place, the gateway gets both, to sign the CRL of each; when the rollover has
    ended, the old one is removed again.
  - Does nothing when the gateway already holds what it should.
options:
  gateway:
    description: Name of the gateway.
    type: str
    required: true
  status:
    description: Command that prints what the gateway holds, as JSON.
    type: list
    elements: str
    required: true
  install:
    description: Command that reads certificate and key from its standard input.
    type: list
    elements: str
    required: true
  retire:
    description: Command that removes an earlier CA, whose SHA-256 of the public key is added as an argument.
    type: list
    elements: str
    required: true
  force:
    description: Remove an earlier CA even when certificates of it are valid, which are then refused.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says whether it would install.
  diff_mode:
    support: none
    description: There is nothing to show that is not secret.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors
"""

EXAMPLES = r"""
- name: Install the device CA
  fleetmint.core.device_ca:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    gateway: "{{ inventory_hostname }}"
    status: [/opt/fleetmint/bin/fleetmint, gateway, ca-status, --json]
    install: [/opt/fleetmint/bin/fleetmint, gateway, install-ca]
    retire: [/opt/fleetmint/bin/fleetmint, gateway, retire-ca]
"""

RETURN = r"""
reasons:
  description: What was done, one sentence each.
  type: list
  elements: str
  returned: success
"""
