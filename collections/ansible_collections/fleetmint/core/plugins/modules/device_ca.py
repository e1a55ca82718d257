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
  force:
    description: Remove an earlier CA even when certificates of it are valid, which are then refused.
    type: bool
    default: false
  pin_file:
    description:
      - File on the controller with the PIN of the token that is to hold the key, one line; it may be encrypted by
        Ansible Vault. It is handed over as the key is, and kept sealed on the gateway.
    type: path
  program:
    description: The program C(fleetmint) of the gateway.
    type: path
    default: /opt/fleetmint/bin/fleetmint
attributes:
  check_mode:
    support: full
    description: Says whether it would install.
  diff_mode:
    support: none
    description: There is nothing to show that is not secret.
extends_documentation_fragment: fleetmint.core.authorities
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Install the device CA
  fleetmint.core.device_ca:
    directory: "{{ fleet_ca_dir }}"
    site: "{{ fleet_site }}"
    passphrases: "{{ fleet_ca_passphrases }}"
    gateway: "{{ inventory_hostname }}"
  become: true
  become_user: fleetmint
"""

RETURN = r"""
reasons:
  description: What was done, one sentence each.
  type: list
  elements: str
  returned: success
"""
