#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action preflight_gateway; the work is done in plugins/action."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_gateway
short_description: Check that a gateway can be worked on
description:
  - Says in sentences why SSH does not reach it, or why its account cannot become root.
  - Compares its clock with that of the controller, and sees that it is a system that the roles know, that its servers
    can listen on their addresses, and that no other program has their ports.
  - One round trip, which changes nothing.
options:
  addresses:
    description: Addresses that nginx will listen on.
    type: list
    elements: str
    required: true
  ports:
    description: Ports that each program will listen on, by the program's name.
    type: dict
    required: true
  clock_difference:
    description: Seconds that the two clocks may differ.
    type: int
    required: true
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
- name: Check that the gateway is ready
  fleetmint.core.preflight_gateway:
    addresses: ["0.0.0.0", "[::]"]
    ports: {nginx: [80, 443, 8443], mosquitto: [8883, 8884]}
    clock_difference: 300
  become: true
"""

RETURN = r""" # """
