#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action preflight; the work is done in plugins/action."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check a site before anything is made for it
description:
  - Reads what the inventory and the command line say about the controller and all gateways, and names everything that
    is wrong with it, in one message, with file and line.
  - Variables that nobody reads and that look like one of the project's are refused, since a default would be in force.
  - Tries the vault password, and compares the clock with what was made before.
  - Asks no other machine, and changes nothing.
options:
  roles:
    description: Directory of the roles, whose argument specs say which variables there are.
    type: path
    required: true
  clock_is_right:
    description: Whether somebody attests the controller's clock, so that what was signed later than now is no matter.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: It changes nothing at any time.
  diff_mode:
    support: none
    description: It changes nothing.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check what the inventory says
  fleetmint.core.preflight:
    roles: "{{ role_path | dirname }}"
"""

RETURN = r""" # """
